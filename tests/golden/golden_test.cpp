// Every example's report, byte for byte. After a wanted change: SHARDSIM_UPDATE_GOLDENS=1, look at the difference, and
// say in the commit what moved and by how much.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "../plan/scenario.hpp"
#include "catch.hpp"
#include "sim/report/report.hpp"

using namespace shardsim;
namespace fs = std::filesystem;

namespace {

std::string contents(const fs::path& file) {
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("Every example gives its golden report") {
  const fs::path source(SHARDSIM_SOURCE);
  const bool updating = std::getenv("SHARDSIM_UPDATE_GOLDENS") != nullptr;
  std::size_t examples = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(source / "examples")) {
    if (entry.path().extension() != ".conf") continue;
    ++examples;
    INFO(entry.path().filename().string());
    const fs::path golden = source / "tests/golden" / entry.path().filename().replace_extension(".json");
    const std::string report = render_json(simulate(test::request({"--config", entry.path().string()}), test::data()));
    if (updating) {
      std::ofstream(golden) << report;
      continue;
    }
    REQUIRE(fs::exists(golden));
    CHECK(report == contents(golden));
  }
  CHECK(examples >= 12);
}

TEST_CASE("No golden is left without its example") {
  const fs::path source(SHARDSIM_SOURCE);
  for (const fs::directory_entry& entry : fs::directory_iterator(source / "tests/golden")) {
    if (entry.path().extension() != ".json") continue;
    INFO(entry.path().filename().string());
    CHECK(fs::exists(source / "examples" / entry.path().filename().replace_extension(".conf")));
  }
}
