// DeepSpeed's ds_config.json.
#include "fuzz/reader.hpp"
#include "sim/request/deepspeed_config.hpp"

namespace shardsim::fuzz {

const Added deepspeed({.name = "deepspeed",
                       .file_name = "ds_config.json",
                       .seeds = {"tests/request/data/*.json", "examples/lessons/*.json"},
                       .read = [](const Input& input) { read_deepspeed_config(input.file); }});

}  // namespace shardsim::fuzz
