#include "model/core/read_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "model/core/error.hpp"

namespace shardsim {

std::string read_file(const std::filesystem::path& file, const Expected& expected) {
  constexpr std::size_t chunk = std::size_t{1} << 18;
  const std::string where(expected.where), right(expected.right);
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  std::string text;
  // A pipe and a device do not know their size.
  while (stream && text.size() <= expected.most_bytes) {
    const std::size_t begin = text.size();
    text.resize(begin + std::min(chunk, expected.most_bytes + 1 - begin));
    stream.read(text.data() + begin, static_cast<std::streamsize>(text.size() - begin));
    text.resize(begin + static_cast<std::size_t>(stream.gcount()));
  }
  // A folder opens but does not read.
  if (!stream.is_open() || stream.bad()) {
    const std::string reason = errno != 0 ? std::string(": ") + std::strerror(errno) : "";
    throw InputError("cannot read '" + file.string() + "'" + reason, where, right);
  }
  if (text.size() > expected.most_bytes) {
    throw InputError("'" + file.string() + "' is larger than " + std::to_string(expected.most_bytes >> 20) + " MiB",
                     where, right);
  }
  // What Windows puts before text, and what its PowerShell redirects into files.
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    throw InputError("'" + file.string() + "' is text in UTF-16", where, right + ", in UTF-8");
  }
  return text;
}

}  // namespace shardsim
