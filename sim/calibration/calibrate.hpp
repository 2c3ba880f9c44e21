// Measurements -> the figures of a device.
#pragma once

#include <string>

#include "sim/calibration/measurements.hpp"
#include "sim/simulate.hpp"

namespace shardsim {

/// A device file (as topologies/devices has them) that says what was measured and takes all else from the device that
/// the measurements name. For --gpu.
///  matmul:      matmul_efficiency, the median over the products of at least a tenth of the largest one's FLOPs
///  elementwise: memory_efficiency, likewise by bytes
///  launch:      kernel_launch
///  memory:      memory
///  steps:       matmul_efficiency and memory_efficiency together, so that the median step comes out as measured
/// Throws InputError where nothing was measured, or figures come out that no device can have.
std::string calibrated_device(const Measurements& measurements, const DataFolders& data);

}  // namespace shardsim
