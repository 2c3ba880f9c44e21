// The table of how predictions deviate.
#include "sim/report/residuals.hpp"
#include "fuzz/reader.hpp"

namespace shardsim::fuzz {

const Added residuals({.name = "residuals",
                       .file_name = "residuals.csv",
                       .seeds = {"tests/published/residuals.csv"},
                       .read = [](const Input& input) { read_residuals(input.file); }});

}  // namespace shardsim::fuzz
