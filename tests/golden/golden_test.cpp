// Every example's report, byte for byte, and the verdict that its comment states ("# => FITS: ..."). After a wanted
// change: SHARDSIM_UPDATE_GOLDENS=1, look at the difference, and say in the commit what moved and by how much.
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "../plan/scenario.hpp"
#include "catch.hpp"
#include "sim/report/report.hpp"
#include "sim/report/verdict.hpp"

using namespace shardsim;
namespace fs = std::filesystem;

namespace {

std::string contents(const fs::path& file) {
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

const fs::path source(SHARDSIM_SOURCE);
const bool updating = std::getenv("SHARDSIM_UPDATE_GOLDENS") != nullptr;

std::vector<fs::path> examples() {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(source / "examples")) {
    if (entry.path().extension() == ".conf") files.push_back(entry.path());
  }
  return files;
}

fs::path golden_of(const fs::path& example) {
  return source / "tests/golden" / example.lexically_relative(source / "examples").replace_extension(".json");
}

/// What the comment of an example says was found, a line each.
std::string finding(const Report& report) {
  std::string peak;
  const DeviceReport& device = report.devices.front();
  for (const auto& [category, bytes] : device.at_peak) {
    if (bytes < 5'000'000) continue;
    peak += fmt::format("{}{} {:.2f}", peak.empty() ? "" : ", ", name_of(category), static_cast<double>(bytes) / 1e9);
  }
  std::string text =
      fmt::format("# => {}\n# => at the peak, {} ({} GB)\n", verdict(report).headline, device.peak_at, peak);
  if (report.hosts.front().peak_bytes > 0) {
    text += fmt::format("# => host RAM {:.0f} GB\n", static_cast<double>(report.hosts.front().peak_bytes) / 1e9);
  }
  return text + fmt::format("# => {} parameters trained, {:.3g} s a step\n", report.model.trainable_parameters,
                            report.step.time_s);
}

/// The example with its "# => " lines brought up to date.
std::string with_finding(const std::string& text, const std::string& found) {
  const std::size_t begin = text.find("# => ");
  if (begin == std::string::npos) return text;
  std::size_t end = begin;
  while (text.compare(end, 5, "# => ") == 0) end = text.find('\n', end) + 1;
  return text.substr(0, begin) + found + text.substr(end);
}

}  // namespace

TEST_CASE("Every example gives its golden report and the verdict that it states") {
  CHECK(examples().size() >= 40);
  for (const fs::path& example : examples()) {
    INFO(example.string());
    const Report report = simulate(test::request({"--config", example.string()}), test::data());
    const std::string found = with_finding(contents(example), finding(report));
    const fs::path golden = golden_of(example);
    if (updating) {
      fs::create_directories(golden.parent_path());
      std::ofstream(golden) << render_json(report);
      std::ofstream(example) << found;
      continue;
    }
    REQUIRE(fs::exists(golden));
    CHECK(render_json(report) == contents(golden));
    CHECK(found == contents(example));
  }
}

TEST_CASE("Every lesson states what was found") {
  for (const fs::path& example : examples()) {
    if (example.parent_path().filename() != "lessons") continue;
    INFO(example.string());
    CHECK(contents(example).find("\n# => ") != std::string::npos);
  }
}

TEST_CASE("No golden is left without its example") {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(source / "tests/golden")) {
    if (entry.path().extension() != ".json") continue;
    INFO(entry.path().string());
    const fs::path name = entry.path().lexically_relative(source / "tests/golden");
    CHECK(fs::exists(source / "examples" / fs::path(name).replace_extension(".conf")));
  }
}
