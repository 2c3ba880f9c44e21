// A sweep's journal as it lies on disk: a torn one, another sweep's, and ours with any range and any payload.
#include "sim/sweep/journal.hpp"

#include <cstring>
#include <fstream>

#include "fuzz/reader.hpp"
#include "model/core/error.hpp"

namespace shardsim::fuzz {

namespace {

constexpr const char* identity = "a sweep";
constexpr std::uint64_t points = 1000;

void read_all(const std::filesystem::path& folder) {
  const std::vector<Record> records = read_journals(folder, identity, points);
  missing_ranges(records, points, 16);
  RecordReader reader;
  for (const Record& record : records) reader.read(record);
}

void read(const Input& input) {
  const std::filesystem::path folder = input.file.parent_path();
  try {
    read_all(folder);
  } catch (const InputError&) {
    std::filesystem::remove(input.file);
  }
  std::filesystem::remove(input.file);
  Range range;
  constexpr std::size_t longest = 1 << 20;  // what is written here is not what is tried
  if (input.text.size() < sizeof range || input.text.size() > longest) return;
  std::memcpy(&range, input.text.data(), sizeof range);
  Journal(input.file, identity).append(range, input.text.substr(sizeof range));
  read_all(folder);
}

std::string sample() {
  const std::filesystem::path file = std::filesystem::temp_directory_path() / "shardsim-fuzz-sample.journal";
  std::filesystem::remove(file);
  Journal(file, identity).append({4, 2}, "{}\n{}\n");
  std::ifstream stream(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  std::filesystem::remove(file);
  return bytes;
}

}  // namespace

const Added journal({.name = "journal",
                     .file_name = "rank-0.journal",
                     .seeds = {},
                     .read = read,
                     .own_seeds = {sample(), std::string(16, '\0') + "{\"index\": 0}\n"}});

}  // namespace shardsim::fuzz
