#include "house/house.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <optional>
#include <regex>
#include <string_view>

namespace house {

namespace {

namespace fs = std::filesystem;

/// A part of the tree and its height; what stands higher may include what stands lower, equals only themselves.
struct Floor {
  std::string_view name;
  int height;
};

// Longest first where one name begins another.
constexpr std::array floors = {
    Floor{"model/core/", 0},  Floor{"model/", 1},        Floor{"sim/topology/", 2},   Floor{"sim/cost/", 3},
    Floor{"sim/request/", 3}, Floor{"sim/plan/", 4},     Floor{"sim/engine/", 5},     Floor{"sim/report/", 6},
    Floor{"sim/explain/", 8}, Floor{"sim/search/", 8},   Floor{"sim/validation/", 8}, Floor{"sim/calibration/", 8},
    Floor{"sim/verbs/", 9},   Floor{"sim/main.cpp", 10},
};
constexpr Floor ground = floors.front();
constexpr Floor simulate = {"sim/simulate", 7};  // the files that stand in sim/ itself
constexpr Floor validation = {"sim/validation/", 8};
constexpr std::string_view sweep = "sim/sweep/";

constexpr std::size_t longest_file = 600;

std::optional<Floor> floor_of(std::string_view path) {
  for (const Floor& floor : floors) {
    if (path.starts_with(floor.name)) return floor;
  }
  const bool in_sim_itself = path.starts_with("sim/") && path.find('/', 4) == std::string_view::npos;
  return in_sim_itself ? std::optional(simulate) : std::nullopt;
}

bool is_build_folder(const fs::path& name) {
  const std::string text = name.string();
  return text == "build" || text.starts_with("build-");
}

/// The files that could be tracked: all but .git, caches and build folders at the top.
std::vector<fs::path> files_of(const fs::path& root) {
  std::vector<fs::path> files;
  for (auto entry = fs::recursive_directory_iterator(root); entry != fs::recursive_directory_iterator(); ++entry) {
    const fs::path name = entry->path().filename();
    const bool skipped = name == ".git" || name == ".cache" || (entry.depth() == 0 && is_build_folder(name));
    if (entry->is_directory() && skipped) entry.disable_recursion_pending();
    if (entry->is_regular_file() && !skipped) files.push_back(entry->path().lexically_relative(root));
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool has_extension(const fs::path& file, std::initializer_list<std::string_view> extensions) {
  return std::find(extensions.begin(), extensions.end(), file.extension().string()) != extensions.end();
}

bool is_source(const fs::path& file) {
  const std::string path = file.generic_string();
  return (path.starts_with("model/") || path.starts_with("sim/")) && has_extension(file, {".hpp", ".cpp", ".h"});
}

void for_each_line(const fs::path& file, const std::function<void(std::size_t, const std::string&)>& visit) {
  std::ifstream stream(file, std::ios::binary);
  std::string line;
  for (std::size_t number = 1; std::getline(stream, line); ++number) visit(number, line);
}

/// Visits each #include of the sources in model/ and sim/ with its delimiter, '<' or '"'.
void for_each_include(
    const fs::path& root,
    const std::function<void(const std::string& file, std::size_t line, char, const std::string&)>& visit) {
  static const std::regex include(R"(^\s*#\s*include\s*([<"])([^>"]*)[>"].*)");
  for (const fs::path& file : files_of(root)) {
    if (!is_source(file)) continue;
    for_each_line(root / file, [&](std::size_t number, const std::string& line) {
      std::smatch match;
      if (line.find('#') != std::string::npos && std::regex_match(line, match, include)) {
        visit(file.generic_string(), number, match[1].str()[0], match[2].str());
      }
    });
  }
}

/// Why `file` may not include `included`; empty where it may.
std::string objection(std::string_view file, std::string_view included) {
  const bool included_is_sweep = included.starts_with(sweep);
  if (file.starts_with(sweep)) {
    return included_is_sweep || included.starts_with(ground.name) ? ""
                                                                  : "sim/sweep knows no simulation, only model/core";
  }
  const std::optional<Floor> here = floor_of(file);
  if (!here) return "stands on no floor";
  if (included_is_sweep)
    return here->height >= validation.height ? "" : "only sim/validation, sim/verbs and sim/main.cpp know sim/sweep";
  const std::optional<Floor> there = floor_of(included);
  if (!there) return "is written relative to a folder, or stands on no floor";
  if (there->height > here->height)
    return "points up, from " + std::string(here->name) + " to " + std::string(there->name);
  if (there->height == here->height && there->name != here->name) return "joins two floors of equal height";
  if (here->name == "sim/engine/" && there->name == "sim/plan/" && included != "sim/plan/plan.hpp") {
    return "the engine knows of sim/plan only plan.hpp";
  }
  return "";
}

bool is_text(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::array<char, 4096> head{};
  stream.read(head.data(), head.size());
  const auto end = head.begin() + stream.gcount();
  return std::find(head.begin(), end, '\0') == end;
}

/// Written in halves, so that this file keeps its own rule.
std::regex foreign_places() {
  const std::string folders = std::string("(^|[^A-Za-z0-9_.])/(wo") + "rk|fa" + "rm|ro" + "ot)/|\\.\\./sha" + "red";
  const std::string hosts = std::string("deb\\.deb") + "ian\\.org|py" + "pi\\.org|registry\\.np" + "mjs|proxy\\.go" +
                            "lang\\.org|crat" + "es\\.io";
  return std::regex(folders + "|" + hosts);
}

}  // namespace

std::string text_of(const Breach& breach) {
  return breach.file + (breach.line > 0 ? ":" + std::to_string(breach.line) : "") + ": " + breach.rule;
}

std::vector<Breach> check_floors(const fs::path& root) {
  std::vector<Breach> breaches;
  for_each_include(root, [&](const std::string& file, std::size_t line, char delimiter, const std::string& included) {
    const bool ours = delimiter == '"' || included.starts_with("sim/") || included.starts_with("model/");
    if (!ours) return;
    const std::string why = objection(file, included);
    if (!why.empty()) breaches.push_back({file, line, "include of " + included + ": " + why});
  });
  return breaches;
}

std::vector<Breach> check_libraries(const fs::path& root) {
  std::vector<Breach> breaches;
  for_each_include(root, [&](const std::string& file, std::size_t line, char, const std::string& included) {
    const bool parallel = included == "mpi.h" || included == "omp.h";
    if (parallel && !file.starts_with(sweep)) breaches.push_back({file, line, included + " belongs to sim/sweep"});
    const bool graph = included.starts_with("boost/graph/");
    if (graph && !file.starts_with("sim/topology/")) {
      breaches.push_back({file, line, included + " belongs to sim/topology"});
    }
  });
  return breaches;
}

std::vector<Breach> check_top_level(const fs::path& root) {
  constexpr std::array<std::string_view, 9> allowed = {
      "CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md", "examples", "model", "sim", "tests", "topologies"};
  std::vector<Breach> breaches;
  for (const fs::directory_entry& entry : fs::directory_iterator(root)) {
    const std::string name = entry.path().filename().string();
    const bool known = std::find(allowed.begin(), allowed.end(), name) != allowed.end();
    if (known || name.starts_with(".") || is_build_folder(name)) continue;
    breaches.push_back({name, 0, "does not belong to the top level"});
  }
  std::sort(breaches.begin(), breaches.end(), [](const Breach& a, const Breach& b) { return a.file < b.file; });
  return breaches;
}

std::vector<Breach> check_lengths(const fs::path& root) {
  std::vector<Breach> breaches;
  for (const fs::path& file : files_of(root)) {
    const bool read_by_people = has_extension(file, {".hpp", ".cpp", ".h", ".sh", ".md", ".cmake", ".py"}) ||
                                file.filename() == "CMakeLists.txt";
    if (!read_by_people) continue;
    std::size_t lines = 0;
    for_each_line(root / file, [&](std::size_t number, const std::string&) { lines = number; });
    if (lines > longest_file) {
      breaches.push_back({file.generic_string(), lines, "is longer than " + std::to_string(longest_file) + " lines"});
    }
  }
  return breaches;
}

std::vector<Breach> check_places(const fs::path& root) {
  static const std::regex foreign = foreign_places();
  std::vector<Breach> breaches;
  for (const fs::path& file : files_of(root)) {
    if (!is_text(root / file)) continue;
    for_each_line(root / file, [&](std::size_t number, const std::string& line) {
      // std::regex recurses once a character: a line of data longer than this would exhaust the stack.
      constexpr std::size_t longest_line = 10'000;
      if (std::regex_search(line.substr(0, longest_line), foreign)) {
        breaches.push_back({file.generic_string(), number, "names a place outside the project"});
      }
    });
  }
  return breaches;
}

}  // namespace house
