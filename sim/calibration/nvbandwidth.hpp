// What NVIDIA/nvbandwidth --json prints (json_output.cpp, seen at 4a346807): matrices of GB/s, as texts.
#pragma once

#include "sim/calibration/json_reader.hpp"
#include "sim/calibration/measurements.hpp"

namespace shardsim {

bool is_nvbandwidth(const JsonReader& json);
/// Copies by copy engine that run alone: host_to_device_memcpy_ce, device_to_host_memcpy_ce and
/// device_to_device_memcpy_read_ce or _write_ce. Other test cases are left aside. Throws InputError where none of these
/// passed.
Measurements read_nvbandwidth(const JsonReader& json);

}  // namespace shardsim
