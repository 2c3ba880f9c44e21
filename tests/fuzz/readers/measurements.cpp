// What calibrate reads.
#include "sim/calibration/measurements.hpp"
#include "fuzz/reader.hpp"

namespace shardsim::fuzz {

const Added measurements({.name = "measurements",
                          .file_name = "measurements.json",
                          .seeds = {"tests/calibration/data/*.json"},
                          .read = [](const Input& input) { read_measurements(input.file); },
                          .own_seeds = {
                              R"({"device": "A100-SXM4-80GB", "memory_bytes": 85899345920, "launch_seconds": 4e-6,
          "matmul": [{"m": 4096, "n": 4096, "k": 4096, "seconds": 6e-4}],
          "elementwise": [{"bytes": 1e9, "seconds": 7e-4}],
          "steps": [{"seconds": 0.4, "options": {"topology": "1xA100", "strategy": "single"}}]})"}});

}  // namespace shardsim::fuzz
