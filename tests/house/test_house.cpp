// The tree keeps the house rules, and each rule can fail.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "house/house.hpp"

using namespace house;
namespace fs = std::filesystem;

namespace {

/// Every breach as one text, so that a failure prints file and line of each.
std::string listed(const std::vector<Breach>& breaches) {
  std::string text;
  for (const Breach& breach : breaches) text += text_of(breach) + "\n";
  return text;
}

/// A small tree in the temporary folder, gone with the object.
class Tree {
 public:
  Tree() : root_(fs::temp_directory_path() / ("shardsim-house-" + std::to_string(::getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~Tree() { fs::remove_all(root_); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  void write(const fs::path& file, const std::string& text) const {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  const fs::path& root() const { return root_; }

 private:
  fs::path root_;
};

}  // namespace

TEST_CASE("the tree keeps the house rules") {
  const fs::path root = SHARDSIM_SOURCE;
  REQUIRE(fs::exists(root / "model/core/units.hpp"));
  CHECK(listed(check_floors(root)) == "");
  CHECK(listed(check_libraries(root)) == "");
  CHECK(listed(check_top_level(root)) == "");
  CHECK(listed(check_lengths(root)) == "");
  CHECK(listed(check_places(root)) == "");
}

TEST_CASE("includes that point down pass") {
  const Tree tree;
  tree.write("model/core/units.hpp", "#include <string>\n");
  tree.write("model/zoo.hpp", "#include \"model/core/units.hpp\"\n#include \"model/other.hpp\"\n");
  tree.write("sim/engine/loop.cpp", "#include \"sim/plan/plan.hpp\"\n#include \"sim/topology/topology.hpp\"\n");
  tree.write("sim/simulate.cpp", "#include \"sim/simulate.hpp\"\n#include \"sim/report/report.hpp\"\n");
  tree.write("sim/verbs/sweep.cpp", "#include \"sim/sweep/build.hpp\"\n#include \"sim/simulate.hpp\"\n");
  tree.write("sim/main.cpp", "#include \"sim/verbs/verbs.hpp\"\n");
  tree.write("sim/sweep/mpi.cpp", "#include <mpi.h>\n#include <omp.h>\n#include \"model/core/check.hpp\"\n");
  tree.write("sim/topology/graph.cpp", "#include <boost/graph/adjacency_list.hpp>\n");
  tree.write("tests/engine/test_loop.cpp", "#include \"sim/main.hpp\"\n");
  CHECK(listed(check_floors(tree.root())) == "");
  CHECK(listed(check_libraries(tree.root())) == "");
}

TEST_CASE("includes that point up, aside or past the plan are found, with file and line") {
  const Tree tree;
  tree.write("model/core/units.hpp", "\n#include \"model/architecture.hpp\"\n");
  tree.write("model/zoo.cpp", "// why\n# include \"sim/request/request.hpp\"\n");
  tree.write("sim/cost/roofline.cpp", "#include \"sim/request/request.hpp\"\n");
  tree.write("sim/engine/loop.cpp", "#include \"sim/plan/strategies/zero.hpp\"\n");
  tree.write("sim/plan/plan.cpp", "#include \"sim/engine/engine.hpp\"\n#include \"plan.hpp\"\n");
  tree.write("sim/report/text.cpp", "#include <sim/simulate.hpp>\n#include \"sim/sweep/build.hpp\"\n");
  tree.write("sim/simulate.cpp", "#include \"sim/verbs/verbs.hpp\"\n");
  tree.write("sim/sweep/sweep.cpp", "#include \"sim/simulate.hpp\"\n");
  tree.write("sim/attic/old.cpp", "#include \"model/core/units.hpp\"\n");
  CHECK(listed(check_floors(tree.root())) ==
        "model/core/units.hpp:2: include of model/architecture.hpp: points up, from model/core/ to model/\n"
        "model/zoo.cpp:2: include of sim/request/request.hpp: points up, from model/ to sim/request/\n"
        "sim/attic/old.cpp:1: include of model/core/units.hpp: stands on no floor\n"
        "sim/cost/roofline.cpp:1: include of sim/request/request.hpp: joins two floors of equal height\n"
        "sim/engine/loop.cpp:1: include of sim/plan/strategies/zero.hpp: the engine knows of sim/plan only plan.hpp\n"
        "sim/plan/plan.cpp:1: include of sim/engine/engine.hpp: points up, from sim/plan/ to sim/engine/\n"
        "sim/plan/plan.cpp:2: include of plan.hpp: is written relative to a folder, or stands on no floor\n"
        "sim/report/text.cpp:1: include of sim/simulate.hpp: points up, from sim/report/ to sim/simulate\n"
        "sim/report/text.cpp:2: include of sim/sweep/build.hpp: only sim/validation, sim/verbs and sim/main.cpp know "
        "sim/sweep\n"
        "sim/simulate.cpp:1: include of sim/verbs/verbs.hpp: points up, from sim/simulate to sim/verbs/\n"
        "sim/sweep/sweep.cpp:1: include of sim/simulate.hpp: sim/sweep knows no simulation, only model/core\n");
}

TEST_CASE("libraries outside their floor are found") {
  const Tree tree;
  tree.write("sim/engine/loop.cpp", "#include <omp.h>\n#include <vector>\n#include <mpi.h>\n");
  tree.write("sim/plan/order.cpp", "#include <boost/graph/topological_sort.hpp>\n");
  CHECK(listed(check_libraries(tree.root())) ==
        "sim/engine/loop.cpp:1: omp.h belongs to sim/sweep\n"
        "sim/engine/loop.cpp:3: mpi.h belongs to sim/sweep\n"
        "sim/plan/order.cpp:1: boost/graph/topological_sort.hpp belongs to sim/topology\n");
}

TEST_CASE("strangers at the top level are found") {
  const Tree tree;
  tree.write("README.md", "");
  tree.write(".ci/run", "");
  tree.write("build/x.o", "");
  tree.write("build-dev/x.o", "");
  tree.write("scripts/go.sh", "");
  tree.write("notes.md", "");
  CHECK(listed(check_top_level(tree.root())) ==
        "notes.md: does not belong to the top level\nscripts: does not belong to the top level\n");
}

TEST_CASE("long files are found, data is not") {
  const Tree tree;
  std::string lines;
  for (int i = 0; i < 600; ++i) lines += "\n";
  tree.write("sim/long_enough.cpp", lines);
  tree.write("sim/too_long.cpp", lines + "\n");
  tree.write("tests/golden/report.json", lines + "\n");
  CHECK(listed(check_lengths(tree.root())) == "sim/too_long.cpp:601: is longer than 600 lines\n");
}

TEST_CASE("places outside the project are found, look-alikes are not") {
  const Tree tree;
  const std::string folder = std::string("/wo") + "rk/";
  tree.write("examples/a.sh", "cd\ncp " + folder + "x .\n");
  tree.write("examples/b.md", "http://example.org" + folder + "x, net" + folder + "x\n");
  tree.write("model/c.json", std::string("{\"path\": \"../sha") + "red/x\"}\n");
  tree.write("sim/d.bin", std::string("\0", 1) + folder);
  tree.write("tests/e.sh", std::string("curl https://py") + "pi.org/simple\n");
  CHECK(listed(check_places(tree.root())) ==
        "examples/a.sh:2: names a place outside the project\n"
        "model/c.json:1: names a place outside the project\n"
        "tests/e.sh:1: names a place outside the project\n");
}
