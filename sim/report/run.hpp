// The whole run: how long, how much energy, how much money.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/report/report.hpp"
#include "sim/request/request.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

/// Watts: each GPU at its board power, and the hosts where the topology knows theirs.
double power_of(const Topology& topology);

/// `--tokens`, or `--examples` of `seq_len` tokens, times `--epochs`, in whole steps of `step`: an epoch of examples
/// ends with a step of its own, as the Trainer's does. Nothing where the request says no length. Energy counts each GPU
/// at its board power all along, as the Llama 2 paper (arXiv 2307.09288, 2.2.1) counts it, and the hosts where the
/// topology knows their power; cost is the price of the whole machine. `assumptions` gets what that leaves out.
std::optional<RunReport> whole_run(const Request& request, const Topology& topology, const StepReport& step,
                                   std::vector<std::string>& assumptions);

}  // namespace shardsim
