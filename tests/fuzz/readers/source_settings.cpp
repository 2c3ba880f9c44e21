// What published sources state of their runs.
#include "sim/validation/source_settings.hpp"
#include "fuzz/reader.hpp"

namespace shardsim::fuzz {

const Added source_settings({.name = "source_settings",
                             .file_name = "sources.csv",
                             .seeds = {"tests/published/sources.csv"},
                             .read = [](const Input& input) { read_source_settings(input.file); }});

}  // namespace shardsim::fuzz
