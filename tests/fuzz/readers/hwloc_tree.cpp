// The tree that lstopo prints, up to the routes of the machine.
#include "fuzz/reader.hpp"

namespace shardsim::fuzz {

namespace {

void read(const Input& input) { build_machine("@" + input.file.string(), "A100-SXM4-80GB"); }

}  // namespace

const Added hwloc_tree({.name = "hwloc_tree",
                        .file_name = "topo.txt",
                        .seeds = {"tests/topology/data/dgx2h_hwloc_tree.txt"},
                        .read = read});

}  // namespace shardsim::fuzz
