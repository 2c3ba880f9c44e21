// libFuzzer's program: fuzz --reader=NAME [libFuzzer's options] [FOLDER]. It begins from the reader's seeds; what it
// finds new goes into FOLDER, else into a folder that is dropped.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/reader.hpp"
#include "library_leaks.hpp"
#include "model/core/error.hpp"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace shardsim;
namespace fs = std::filesystem;

const fuzz::Reader* chosen = nullptr;

/// A folder of the reader's seeds, as libFuzzer takes them.
std::string seed_folder(const fuzz::Reader& reader) {
  std::string folder = fs::temp_directory_path() / "shardsim-seeds-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) throw InputError("cannot make a folder", folder, "room for small files");
  int number = 0;
  for (const std::string& seed : fuzz::seeds_of(reader)) {
    std::ofstream(fs::path(folder) / ("seed-" + std::to_string(number++)), std::ios::binary) << seed;
  }
  return folder;
}

std::string& seeds() {
  static std::string folder;
  return folder;
}

void drop_seeds() {
  std::error_code ignored;
  fs::remove_all(seeds(), ignored);
}

}  // namespace

int LLVMFuzzerInitialize(int* argc, char*** argv) {
  static std::vector<std::string> words(*argv, *argv + *argc);
  constexpr std::string_view option = "--reader=";
  try {
    std::string name;
    for (const std::string& word : words) {
      if (word.starts_with(option)) name = word.substr(option.size());
    }
    chosen = &fuzz::find_reader(name);
    seeds() = seed_folder(*chosen);
    std::atexit(drop_seeds);
  } catch (const InputError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    std::exit(2);
  }
  words.push_back(seeds());
  static std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  *argc = static_cast<int>(pointers.size());
  pointers.push_back(nullptr);
  *argv = pointers.data();
  return 0;
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::attempt(*chosen, std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
