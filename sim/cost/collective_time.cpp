#include "sim/cost/collective_time.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "model/core/check.hpp"
#include "sim/cost/constants.hpp"

namespace shardsim {
namespace {

// Microseconds, by protocol: NCCL's baseLat and hwLat tables (src/graph/tuning.cc, at 5067397c).
struct Protocol {
  double bandwidth_share;
  double ring_base, tree_base;
  double nvlink_ring, pcie_ring, network_ring;
  double nvlink_tree, pcie_tree, network_tree;
};
constexpr std::array<Protocol, 3> protocols{{
    {0.5, 6.6, 6.8, 0.6, 1.0, 2.7, 0.6, 1.0, 5.0},      // LL
    {0.92, 14.0, 14.0, 1.9, 2.5, 4.0, 1.25, 1.9, 8.5},  // LL128
    {1.0, 8.4, 8.4, 3.4, 5.7, 14.0, 4.0, 4.0, 14.0},    // Simple
}};
constexpr double tree_bandwidth_share = 0.92;
/// The most that LL reaches across nodes, bytes a second (llMaxBws there, more than two nodes of Hopper; Ampere's 19
/// makes no difference to what is chosen for messages that take long).
constexpr double ll_across_nodes = 35e9;

double microseconds(Time time) { return static_cast<double>(time.picoseconds()) * 1e-6; }

/// Of the ring's bandwidth.
double measured_part(CollectiveKind kind, const CollectiveShape& shape) {
  if (shape.nodes > 1) return 1;
  switch (kind) {
    case CollectiveKind::reduce_scatter:
      return shape.figures.reduce_scatter;
    case CollectiveKind::all_reduce:
      return shape.figures.all_reduce;
    case CollectiveKind::all_gather:
    case CollectiveKind::broadcast:
      break;
  }
  return shape.figures.all_gather;
}

double ring_latency(const Protocol& p, const CollectiveShape& shape, double steps) {
  const double rounds = steps / static_cast<double>(shape.ranks - 1);
  const double network_steps = shape.nodes > 1 ? rounds * static_cast<double>(shape.nodes - 1) : 0;
  const double hop = shape.intra == HopKind::nvlink ? p.nvlink_ring : p.pcie_ring;
  return p.ring_base + (steps - network_steps) * hop + network_steps * p.network_ring;
}

double tree_latency(const Protocol& p, const CollectiveShape& shape) {
  const double per_node = static_cast<double>(shape.ranks) / static_cast<double>(shape.nodes);
  const double hop = shape.intra == HopKind::nvlink ? p.nvlink_tree : p.pcie_tree;
  return p.tree_base + 2 * ((per_node - 1) * hop + std::log2(static_cast<double>(shape.nodes)) * p.network_tree);
}

}  // namespace

CollectiveCost collective_cost(CollectiveKind kind, double total, const CollectiveShape& shape) {
  if (shape.ranks <= 1) return {};
  SHARDSIM_CHECK(shape.bandwidth > 0, "a process group has a way to communicate");
  const double n = static_cast<double>(shape.ranks);
  const double rounds = kind == CollectiveKind::all_reduce ? 2 : 1;
  const double ring_steps = rounds * (n - 1);
  const double sent = total / measured_part(kind, shape);
  const double ring_bytes = kind == CollectiveKind::broadcast ? sent : sent * ring_steps / n;

  // NCCL chooses by its own model; what the model leaves out comes on top.
  double best_seconds = 0;
  CollectiveCost best;
  const auto consider = [&](double latency_us, double bytes, double beyond_us, double beyond_bytes) {
    const double seconds = latency_us * 1e-6 + bytes / shape.bandwidth;
    if (best_seconds > 0 && seconds >= best_seconds) return;
    best_seconds = seconds;
    best = {bytes + beyond_bytes, Time::from_seconds((latency_us + beyond_us) * 1e-6)};
  };
  const CostConstants& constants = cost_constants();
  for (const Protocol& p : protocols) {
    const bool is_ll = &p == &protocols.front();
    const double cap = is_ll && shape.nodes > 1 ? ll_across_nodes / shape.bandwidth : 1;
    const double share = std::min(p.bandwidth_share, cap);
    const double beyond_us = microseconds(shape.figures.launch) + (is_ll ? 0 : microseconds(shape.figures.fill));
    const double step_us = shape.nodes > 1 ? microseconds(constants.network_step) : 0;
    consider(ring_latency(p, shape, ring_steps), ring_bytes / share, beyond_us + ring_steps * step_us, 0);
    if (kind != CollectiveKind::all_reduce) continue;
    const double tree_bytes = 2 * sent / (share * tree_bandwidth_share);
    const double beyond_bytes =
        shape.nodes > 2 ? tree_bytes * (tree_bandwidth_share / constants.network_tree_share - 1) : 0;
    consider(tree_latency(p, shape), tree_bytes, beyond_us, beyond_bytes);
  }
  return best;
}

}  // namespace shardsim
