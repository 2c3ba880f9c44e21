// Measurements -> the figures of a machine's links and collectives.
#pragma once

#include <string>
#include <vector>

#include "sim/calibration/measurements.hpp"
#include "sim/simulate.hpp"

namespace shardsim {

/// A machine file (DOT, for --topology) of one node: what `topology` names, with what was measured.
///  copies:      efficiency of the wires between a GPU and its host, from the largest copies (the mean of both ways),
///  and
///               their latency, from copies of at most 64 KiB; efficiency of NVLink wires, from copies between GPUs
///               that they join. Other copies between GPUs are left aside, which the file says.
///  collectives: inside a node the part of the ring's bandwidth at the largest size, by kind; what launching takes, the
///               median of what the sizes up to 64 KiB lie above the model, and filling the pipeline, likewise of those
///               from 1 to 64 MiB. Across nodes the NICs' efficiency.
/// `gpu` (may be empty) is --gpu. Throws InputError where nothing of these was measured, a size that tells a bandwidth
/// (16 MiB) is missing, or figures come out that the machine's wires cannot have.
std::string calibrated_machine(const std::vector<Measurements>& measured, const std::string& topology,
                               const std::string& gpu, const DataFolders& data);

}  // namespace shardsim
