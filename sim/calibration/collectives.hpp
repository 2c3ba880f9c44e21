// Timed collectives -> what a machine's own reach beyond NCCL's model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/calibration/measurements.hpp"
#include "sim/topology/catalogs.hpp"
#include "sim/topology/machine.hpp"

namespace shardsim {

/// machine.hpp says how. Appends what was met, and what could not be, to `remarks`. `where` is for messages.
void calibrate_collectives(Machine& machine, const std::optional<GpuSpec>& gpu,
                           const std::vector<TimedCollective>& collectives, const Catalogs& catalogs,
                           const std::string& where, std::vector<std::string>& remarks);

/// What the machine's first GPUs take for it, alone.
double predicted_seconds(const Machine& machine, const TimedCollective& collective, const Catalogs& catalogs);
/// "all_reduce"
const char* name_of(CollectiveKind kind);

}  // namespace shardsim
