// What is fuzzed: every way by which bytes of the user's reach us. One file under readers/ is one of them.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/simulate.hpp"

namespace shardsim::fuzz {

/// What is tried, as bytes and as a file that holds them.
struct Input {
  std::string_view text;
  std::filesystem::path file;  ///< alone in a folder of its own, which may be written to
};

struct Reader {
  std::string name;                ///< that of its file under readers/
  std::string file_name;           ///< what the bytes are called on disk
  std::vector<std::string> seeds;  ///< files and folders of the tree to begin from; a folder may end in "*.json"
  std::function<void(const Input&)> read;
  std::vector<std::string> own_seeds = {};  ///< where the tree has no file of that kind
};

/// Adds a reader when the program starts.
struct Added {
  explicit Added(Reader reader);
};

/// Sorted by name.
const std::vector<Reader>& readers();
/// Throws InputError for a name that nobody has.
const Reader& find_reader(std::string_view name);

/// The bytes to begin from: seeds, own seeds and regressions/<name>/.
std::vector<std::string> seeds_of(const Reader& reader);

/// Gives a reader the bytes. A refusal (InputError) is as good as an answer and returns false; anything else escapes.
bool attempt(const Reader& reader, std::string_view text);

/// What --topology says, up to the routes of the machine; the tree's catalogues are read once.
void build_machine(std::string_view topology, const std::string& gpu);

/// The tree's own data files.
const DataFolders& data();
/// Where a file of the tree lies.
std::filesystem::path in_tree(const std::string& relative);

}  // namespace shardsim::fuzz
