// One checksum over what the program says of every example and question (SHARDSIM_UPDATE_GOLDENS=1 writes it anew). A
// build of another compiler or optimization level is asked by hand: tests/golden/signature.sh its/shardsim.
#include <cstdlib>

#include "catch.hpp"
#include "cli/program.hpp"

TEST_CASE("The signature of all answers is the one that the tree keeps") {
  const std::string golden = SHARDSIM_SOURCE "/tests/golden/signature";
  const std::string said = scratch().file("signature");
  REQUIRE(std::system((SHARDSIM_SOURCE "/tests/golden/signature.sh '" SHARDSIM_PROGRAM "' >'" + said + "'").c_str()) ==
          0);
  if (std::getenv("SHARDSIM_UPDATE_GOLDENS") != nullptr) {
    std::ofstream(golden) << contents(said);
    return;
  }
  CHECK(contents(said) == contents(golden));
}
