// A machine as a Graphviz file, up to its routes.
#include "fuzz/reader.hpp"

namespace shardsim::fuzz {

const Added dot({.name = "dot", .file_name = "box.dot", .seeds = {"topologies/*.dot"}, .read = [](const Input& input) {
                   build_machine(input.file.string(), "");
                 }});

}  // namespace shardsim::fuzz
