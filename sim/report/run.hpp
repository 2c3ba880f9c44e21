// The whole run: how long, how much energy, how much money.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/report/report.hpp"
#include "sim/request/request.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

/// What a host draws beside its GPUs, as a share of their board power, where its file does not say: the DGX H100's
/// 10.2 kW with eight boards of 700 W (datasheet, most that it draws), assumed for all others.
inline constexpr double host_power_share = 0.8;

/// True where the topology's file does not say what the hosts draw.
bool assumes_host_power(const Topology& topology);
/// Watts: each GPU at its board power, and the hosts.
double power_of(const Topology& topology);

/// `--tokens`, or `--examples` of `seq_len` tokens, times `--epochs`, in whole steps of `step`: an epoch of examples
/// ends with a step of its own, as the Trainer's does. Nothing where the request says no length. Energy counts each GPU
/// at its board power all along, as the Llama 2 paper (arXiv 2307.09288, 2.2.1) counts it, and the hosts; cost is the
/// price of the whole machine. `assumptions` gets what that leaves out.
std::optional<RunReport> whole_run(const Request& request, const Topology& topology, const StepReport& step,
                                   std::vector<std::string>& assumptions);

}  // namespace shardsim
