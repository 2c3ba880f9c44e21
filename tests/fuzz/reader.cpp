#include "fuzz/reader.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/topology/named_machine.hpp"

namespace shardsim::fuzz {

namespace {

namespace fs = std::filesystem;

std::vector<Reader>& table() {
  static std::vector<Reader> all;
  return all;
}

/// A folder that lives as long as the program: in memory, where the system has that.
const fs::path& scratch() {
  static const fs::path folder = [] {
    const fs::path in_memory = "/dev/shm";
    std::string name = (fs::is_directory(in_memory) ? in_memory : fs::temp_directory_path()) / "shardsim-fuzz-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw InputError("cannot make a folder", name, "room for small files");
    return fs::path(name);
  }();
  static const int at_end = std::atexit([] {
    std::error_code ignored;
    fs::remove_all(scratch(), ignored);
  });
  static_cast<void>(at_end);
  return folder;
}

std::string bytes_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void add_files(const fs::path& place, std::vector<fs::path>& files) {
  const bool by_ending = place.stem() == "*";
  const fs::path folder = by_ending ? place.parent_path() : place;
  if (!fs::is_directory(folder)) return files.push_back(place);
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && (!by_ending || entry.path().extension() == place.extension()))
      found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  files.insert(files.end(), found.begin(), found.end());
}

}  // namespace

Added::Added(Reader reader) {
  std::vector<Reader>& all = table();
  const auto place =
      std::find_if(all.begin(), all.end(), [&](const Reader& other) { return other.name > reader.name; });
  all.insert(place, std::move(reader));
}

const std::vector<Reader>& readers() { return table(); }

const Reader& find_reader(std::string_view name) {
  std::vector<std::string> known;
  for (const Reader& reader : readers()) {
    if (reader.name == name) return reader;
    known.push_back(reader.name);
  }
  throw_unknown_name("reader", name, "--reader", known);
}

std::vector<std::string> seeds_of(const Reader& reader) {
  std::vector<fs::path> files;
  for (const std::string& seed : reader.seeds) add_files(in_tree(seed), files);
  const fs::path regressions = in_tree("tests/fuzz/regressions/" + reader.name);
  if (fs::is_directory(regressions)) add_files(regressions, files);
  std::vector<std::string> seeds = reader.own_seeds;
  for (const fs::path& file : files) seeds.push_back(bytes_of(file));
  return seeds;
}

bool attempt(const Reader& reader, std::string_view text) {
  const fs::path folder = scratch() / reader.name;
  fs::create_directories(folder);
  const Input input{text, folder / reader.file_name};
  std::ofstream(input.file, std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
  try {
    reader.read(input);
  } catch (const InputError&) {
    return false;
  }
  return true;
}

void build_machine(std::string_view topology, const std::string& gpu) {
  static const Catalogs catalogs(data().topologies);
  NamedMachine named = load_machine(topology, gpu, catalogs);
  build_topology(named.machine, named.nodes, catalogs.devices, catalogs.links, {}, named.gpu,
                 std::move(named.assumptions));
}

const DataFolders& data() {
  static const DataFolders folders{in_tree("model/zoo"), in_tree("topologies"), in_tree("tests/published")};
  return folders;
}

fs::path in_tree(const std::string& relative) { return fs::path(SHARDSIM_SOURCE) / relative; }

}  // namespace shardsim::fuzz
