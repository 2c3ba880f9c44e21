// accelerate's YAML.
#include "fuzz/reader.hpp"
#include "sim/request/accelerate_config.hpp"

namespace shardsim::fuzz {

const Added accelerate({.name = "accelerate",
                        .file_name = "accelerate.yaml",
                        .seeds = {"tests/request/data/*.yaml"},
                        .read = [](const Input& input) { read_accelerate_config(input.file); }});

}  // namespace shardsim::fuzz
