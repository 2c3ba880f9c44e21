// A model's config.json of Hugging Face, up to its modules and parameters.
#include "fuzz/reader.hpp"
#include "model/architecture.hpp"

namespace shardsim::fuzz {

const Added model_config({.name = "model_config",
                          .file_name = "config.json",
                          .seeds = {"model/zoo/*.json", "tests/published/models/*.json"},
                          .read = [](const Input& input) { read_architecture(input.file).parameter_count(); }});

}  // namespace shardsim::fuzz
