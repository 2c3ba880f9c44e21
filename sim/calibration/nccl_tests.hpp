// What NVIDIA/nccl-tests writes (src/util.cu, seen at 0fdb00a3): its --json file and its listing on stdout. Sizes are
// those of the whole buffer, times microseconds.
#pragma once

#include <string>

#include "sim/calibration/json_reader.hpp"
#include "sim/calibration/measurements.hpp"

namespace shardsim {

bool is_nccl_json(const JsonReader& json);
bool is_nccl_listing(const std::string& text);

/// Times of the out-of-place runs where there are any, else in place. Throws InputError where the collective is none of
/// ours or its name cannot be told, results are wrong or missing, or the times are the host's (-C).
Measurements read_nccl_json(const JsonReader& json);
Measurements read_nccl_listing(const std::string& text, const std::string& file);

}  // namespace shardsim
