// NCCL's topology XML, up to the routes of the machine.
#include "fuzz/reader.hpp"

namespace shardsim::fuzz {

namespace {

void read(const Input& input) { build_machine("@" + input.file.string(), "A100-SXM4-80GB"); }

}  // namespace

const Added nccl_xml({.name = "nccl_xml",
                      .file_name = "topo.xml",
                      .seeds = {"tests/topology/data/aws_g5_48xlarge.xml", "tests/topology/data/azure_nd40rs_v2.xml",
                                "tests/topology/data/azure_nc96ads_a100_v4.xml"},
                      .read = read});

}  // namespace shardsim::fuzz
