// The report that README.md explains is the one that the program prints.
#include "catch.hpp"
#include "cli/program.hpp"
#include "request/contains.hpp"

TEST_CASE("README.md shows the main job's report as it is") {
  const std::string readme = contents(SHARDSIM_SOURCE "/README.md");
  const std::string report = run("--topology 4xA100 --strategy zero3-offload").out;
  const std::size_t begin = readme.find("\n    FITS: ");
  REQUIRE(begin != std::string::npos);
  std::istringstream lines(readme.substr(begin + 1));
  int compared = 0;
  for (std::string line; std::getline(lines, line) && (line.empty() || line.starts_with("    ")); ++compared) {
    INFO(line);
    if (!line.empty()) CHECK_THAT(report, Contains(line.substr(4) + "\n"));
  }
  CHECK(compared > 30);
}
