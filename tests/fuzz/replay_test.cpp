// Every reader is given what it begins from and what once broke it, and inputs of absurd size: an answer or a refusal,
// within a second and a gigabyte.
#include <algorithm>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "fuzz/reader.hpp"

using namespace shardsim;

namespace {

#ifdef SHARDSIM_SANITIZED
constexpr double slower = 15;  // assumed: what instrumentation costs a reader at most
#else
constexpr double slower = 3;  // processor time on a loaded machine, and the file is written first
#endif

std::string repeated(const std::string& part, std::size_t times) {
  std::string text;
  text.reserve(part.size() * times);
  for (std::size_t i = 0; i < times; ++i) text += part;
  return text;
}

/// Each level stands ten times in the next.
std::string alias_bomb(const std::string& first, const std::string& opening, const std::string& separator,
                       const std::string& closing) {
  std::string text = "a0: &a0 " + first + "\n";
  for (int level = 1; level < 12; ++level) {
    const std::string below = "*a" + std::to_string(level - 1);
    std::string items;
    for (int i = 0; i < 10; ++i)
      items += (i > 0 ? ", " : "") + (separator.empty() ? "" : std::to_string(i) + separator) + below;
    text += "a" + std::to_string(level) + ": &a" + std::to_string(level) + " " + opening + items + closing + "\n";
  }
  return text;
}

/// The most memory that the process has held since reset_peak(); 0 where the system does not say.
double peak_gigabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024 / 1e9;
  }
  return 0;
}
void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

/// Whether the reader took it; fails where that costs too much.
bool attempt_in_time(const fuzz::Reader& reader, const std::string& text) {
  reset_peak();
  const double before = peak_gigabytes();
  const std::clock_t begun = std::clock();
  const bool taken = fuzz::attempt(reader, text);
  const double seconds = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
  CHECK(seconds < slower);
  CHECK(peak_gigabytes() - before < 1 * std::min(slower, 3.0));
  return taken;
}

struct Absurd {
  std::string name, text;
};

const std::vector<Absurd>& absurd_texts() {
  constexpr std::size_t deep = 100'000, megabyte = 1'000'000;
  static const std::vector<Absurd> all = {
      {"nothing", ""},
      {"nested lists", repeated("[", deep)},
      {"nested lists, closed", repeated("[", deep) + repeated("]", deep)},
      {"nested objects", repeated("{\"a\":", deep) + "1" + repeated("}", deep)},
      {"nested maps of YAML", repeated("{a: ", deep) + "1" + repeated("}", deep)},
      {"nested lists of YAML", repeated("- ", deep) + "1"},
      {"nested keys of YAML", repeated("? ", deep) + "1"},
      {"nested elements", repeated("<a>", deep) + repeated("</a>", deep)},
      {"nested elements of the right kind", repeated("<system>", deep)},
      {"nested braces", "graph g {" + repeated("{", deep)},
      {"an alias bomb of lists", alias_bomb("[x, x, x, x, x, x, x, x, x, x]", "[", "", "]")},
      {"an alias bomb of maps", alias_bomb("{x: 1}", "{", ": ", "}")},
      {"a list within itself", "a: &a [*a]\n"},
      {"a map within itself", "a: &a {b: *a}\nkind: *a\n"},
      {"a wide list", "[" + repeated("0,", megabyte / 2) + "0]"},
      {"a wide object", "{\"a\": [" + repeated("[],", megabyte / 3) + "0]}"},
      {"many lines", repeated("a\n", megabyte / 2)},
      {"many keys",
       [] {
         std::string text;
         for (int i = 0; text.size() < 900'000; ++i) text += "k" + std::to_string(i) + ": 1\n";
         return text;
       }()},
      {"many columns",
       [] {
         std::string text = "id";
         for (int i = 0; text.size() < 900'000; ++i) text += ",c" + std::to_string(i);
         return text + "\n" + text + "\n";
       }()},
      {"many unknown keys",
       [] {
         std::string text = "{\"k\": 1";
         for (int i = 0; text.size() < 900'000; ++i) text += ", \"k" + std::to_string(i) + "\": 1";
         return text + "}";
       }()},
      {"many fields", "id" + repeated(",", megabyte)},
      {"one long word", repeated("a", megabyte)},
      {"one long number", repeated("9", megabyte)},
      {"an open quote", "\"" + repeated("a\n", megabyte / 2)},
      {"many hosts", repeated("a slots=64\n", 90'000)},
      {"many GPUs", "graph g {" + repeated("g [kind=gpu];\n", 60'000) + "}"},
      {"zeros", std::string(megabyte, '\0')},
      {"200 MB", std::string(200 * megabyte, ' ')},
      {"200 MB of lines", repeated("a: b\n", 40 * megabyte)},
  };
  return all;
}

bool reads_a_file(const fuzz::Reader& reader) { return reader.file_name != "unused"; }

/// A zoo model's config with one number changed.
std::string config_with(const std::string& key, const std::string& value) {
  std::ifstream stream(fuzz::in_tree("model/zoo/llama-2-7b.json"));
  std::stringstream whole;
  whole << stream.rdbuf();
  std::string text = whole.str();
  const std::size_t at = text.find("\"" + key + "\"");
  REQUIRE(at != std::string::npos);
  const std::size_t begin = text.find(':', at) + 1, end = text.find_first_of(",\n}", begin);
  return text.replace(begin, end - begin, " " + value);
}

}  // namespace

TEST_CASE("No seed and no old finding brings anything but an answer or a refusal") {
  for (const fuzz::Reader& reader : fuzz::readers()) {
    DYNAMIC_SECTION(reader.name) {
      const std::vector<std::string> seeds = fuzz::seeds_of(reader);
      REQUIRE(!seeds.empty());
      const auto taken = std::count_if(seeds.begin(), seeds.end(),
                                       [&](const std::string& seed) { return attempt_in_time(reader, seed); });
      // What a finished sweep leaves belongs to one version of the program.
      CHECK((taken > 0 || reader.name == "finished_mark"));
    }
  }
}

TEST_CASE("Inputs of absurd size and depth cost a reader neither a second nor a gigabyte") {
  constexpr std::size_t longest_argument = 128 * 1024;  // that Linux lets a program be started with
  for (const fuzz::Reader& reader : fuzz::readers()) {
    DYNAMIC_SECTION(reader.name) {
      for (const Absurd& absurd : absurd_texts()) {
        INFO(absurd.name);
        attempt_in_time(reader, reads_a_file(reader) ? absurd.text : absurd.text.substr(0, longest_argument));
      }
    }
  }
}

TEST_CASE("Absurd numbers are refused") {
  const auto refused = [](const char* reader, const std::string& text) {
    INFO(reader << ": " << text.substr(0, 200));
    CHECK_FALSE(attempt_in_time(fuzz::find_reader(reader), text));
  };
  refused("model_config", config_with("num_hidden_layers", "10000000000"));
  refused("model_config", config_with("num_hidden_layers", "1000000000"));
  refused("model_config", config_with("num_hidden_layers", "-1"));
  refused("model_config", config_with("vocab_size", "1e15"));
  refused("model_config", config_with("hidden_size", "1000000000"));
  refused("model_config", config_with("max_position_embeddings", "1000000000"));
  refused("topology", "1000000000xA100");
  refused("topology", "99999999999999999999xA100");
  refused("topology", "65536x64xA100");
  refused("topology", "60000xdgx-a100");
  refused("hostfile", "a slots=1000000000\n");
  refused("hostfile", repeated("a slots=64\n", 2'000));
  refused("fabric", "fat-tree:2:99999999999999999999");
  refused("sweep_spec", "axes: {seq-len: {from: 1, to: 1e18}}\n");
  refused("sweep_spec", "axes: {seq-len: {from: 1, to: 1e5}, micro-batch: {from: 1, to: 1e5}}\n");
  refused("prices", "gpu_hours: {A100: {rent: inf, rent_source: x}}\n");
  refused("prices", "gpu_hours: {A100: {rent: nan, rent_source: x}}\n");
  refused("command_line", "sweep\nspec.yaml\n-o\nout\n--threads\n1000000000");
  refused("command_line", "--topology\n4xA100\n--strategy\nzero3\n--threads\n1000000000");
  refused("command_line", "--topology\n4xA100\n--strategy\nzero3\n--price\n1e300");
  refused("command_line", "--topology\n4xA100\n--strategy\nzero3\n--grad-accum\n1e18");
}
