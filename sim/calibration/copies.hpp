// Timed copies -> the efficiency and latency of a machine's wires.
#pragma once

#include <string>
#include <vector>

#include "sim/calibration/measurements.hpp"
#include "sim/topology/machine.hpp"

namespace shardsim {

/// machine.hpp says how. Appends to `remarks` what is left aside. `where` is for messages.
void calibrate_copies(Machine& machine, const std::vector<TimedCopy>& copies, const std::string& where,
                      std::vector<std::string>& remarks);

}  // namespace shardsim
