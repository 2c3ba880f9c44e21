// Request + Topology + Architecture -> Plan.
#pragma once

#include "model/architecture.hpp"
#include "model/operators.hpp"
#include "sim/plan/plan.hpp"
#include "sim/plan/provenance.hpp"
#include "sim/plan/strategy.hpp"
#include "sim/request/request.hpp"
#include "sim/topology/fold.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

/// A plan and what its kernels execute.
struct PlannedRun {
  Plan plan;
  Fold fold;                           ///< which devices, hosts and links the plan's classes stand for
  std::vector<Provenance> provenance;  ///< by program
  double executed_flops = 0;           ///< of one device in the last step, recomputation included
  double recomputed_flops = 0;         ///< of these, what checkpointing ran a second time
};

/// What of the request decides the graph.
GraphOptions graph_options(const Request& request);

enum class Folding : std::uint8_t { on, off };

/// Records the program of each class of equal ranks: two training steps, the first without optimizer states, prefetch
/// trace or rebuilt buckets, the second steady. `request` is one that with_runtime_defaults() returned;
/// `paged` says where a paged optimizer's states lie, which depends on what else the device holds.
PlannedRun make_plan(const Request& request, const Topology& topology, const Architecture& architecture,
                     Folding folding = Folding::on, PagedStates paged = PagedStates::on_device);

}  // namespace shardsim
