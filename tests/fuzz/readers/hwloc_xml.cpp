// hwloc's XML, up to the routes of the machine.
#include "fuzz/reader.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim::fuzz {

namespace {

void read(const Input& input) {
  load_topology("@" + input.file.string(), {.gpu = "A100-SXM4-80GB"}, data().topologies);
}

}  // namespace

const Added hwloc_xml({.name = "hwloc_xml",
                       .file_name = "topo.xml",
                       .seeds = {"tests/topology/data/pcie_box_hwloc.xml", "tests/topology/data/synthetic_hwloc.xml"},
                       .read = read});

}  // namespace shardsim::fuzz
