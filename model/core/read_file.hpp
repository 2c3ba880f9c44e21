// The one way in which the user's files are read: never more than a reader can make sense of.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace shardsim {

/// What a reader expects of a file.
struct Expected {
  std::string_view where;  ///< what named the file: "--config"; may be empty
  std::string_view right;  ///< what the file should be, for messages: "a Graphviz DOT file"
  std::size_t most_bytes;  ///< far above any real file of the kind, so that a wrong one cannot fill the memory
};

/// Limits that most readers share. The parsers need up to 200 bytes of memory for one of a file.
inline constexpr std::size_t settings_limit = std::size_t{1} << 20;
inline constexpr std::size_t table_limit = std::size_t{16} << 20;

/// The bytes of a file, or of a pipe, without a byte order mark before them. Throws InputError where it is not there,
/// is a folder, cannot be read or is text in UTF-16, and, naming the limit, where it is larger than that.
std::string read_file(const std::filesystem::path& file, const Expected& expected);

}  // namespace shardsim
