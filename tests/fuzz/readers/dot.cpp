// A machine as a Graphviz file, up to its routes.
#include "fuzz/reader.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim::fuzz {

const Added dot({.name = "dot", .file_name = "box.dot", .seeds = {"topologies/*.dot"}, .read = [](const Input& input) {
                   load_topology(input.file.string(), {}, data().topologies);
                 }});

}  // namespace shardsim::fuzz
