// --fabric and --slow-gpu.
#include "sim/topology/fabric.hpp"
#include <algorithm>
#include "fuzz/reader.hpp"

namespace shardsim::fuzz {

const Added fabric({.name = "fabric",
                    .file_name = "unused",
                    .seeds = {},
                    .read =
                        [](const Input& input) {
                          const std::size_t line = std::min(input.text.find('\n'), input.text.size());
                          parse_slow_gpus(input.text.substr(std::min(line + 1, input.text.size())), 64);
                          parse_fabric(input.text.substr(0, line));
                        },
                    .own_seeds = {"rail\n3:0.8,5:0.5", "fat-tree:2:4\n0:1", "ethernet:25Gb/s", "fat-tree:2",
                                  "ethernet:100GbE"}});

}  // namespace shardsim::fuzz
