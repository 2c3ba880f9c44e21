// A hostfile of MPI or DeepSpeed, up to the cluster.
#include "fuzz/reader.hpp"

namespace shardsim::fuzz {

namespace {

void read(const Input& input) { build_machine("@" + input.file.string(), "A100-SXM4-80GB"); }

}  // namespace

const Added hostfile({.name = "hostfile",
                      .file_name = "hostfile",
                      .seeds = {},
                      .read = read,
                      .own_seeds = {"worker-1 slots=8\nworker-2 slots=8\n",
                                    "# two boxes\n\na slots=4\nb slots=4 # last\n"}});

}  // namespace shardsim::fuzz
