// hwloc's XML, up to the routes of the machine.
#include "fuzz/reader.hpp"

namespace shardsim::fuzz {

namespace {

void read(const Input& input) { build_machine("@" + input.file.string(), "A100-SXM4-80GB"); }

}  // namespace

const Added hwloc_xml({.name = "hwloc_xml",
                       .file_name = "topo.xml",
                       .seeds = {"tests/topology/data/pcie_box_hwloc.xml", "tests/topology/data/synthetic_hwloc.xml"},
                       .read = read});

}  // namespace shardsim::fuzz
