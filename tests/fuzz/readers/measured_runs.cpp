// The table of measured runs that validate reads.
#include "sim/validation/measured_runs.hpp"
#include "fuzz/reader.hpp"

namespace shardsim::fuzz {

const Added measured_runs({.name = "measured_runs",
                           .file_name = "measured.csv",
                           .seeds = {"tests/published/user_reports.csv"},
                           .read = [](const Input& input) { read_measured_runs(input.file); },
                           .own_seeds = {"id,source,trust,topology,strategy,measured_oom,notes\n"
                                         "a,me,high,4xA100,zero3,1,\"said \"\"so\"\"\nand more\"\n"}});

}  // namespace shardsim::fuzz
