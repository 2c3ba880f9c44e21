// The file of wires.
#include "fuzz/reader.hpp"
#include "sim/topology/link_type.hpp"

namespace shardsim::fuzz {

const Added links({.name = "links",
                   .file_name = "links.yaml",
                   .seeds = {"topologies/links.yaml"},
                   .read = [](const Input& input) { LinkCatalog(input.file).find("pcie4x16", "fuzz"); }});

}  // namespace shardsim::fuzz
