// What `nvidia-smi topo -m` prints, up to the routes of the machine.
#include "fuzz/reader.hpp"

namespace shardsim::fuzz {

namespace {

void read(const Input& input) { build_machine("@" + input.file.string(), "A100-SXM4-80GB"); }

}  // namespace

const Added topo_matrix(
    {.name = "topo_matrix", .file_name = "topo.txt", .seeds = {"tests/topology/data/*.txt"}, .read = read});

}  // namespace shardsim::fuzz
