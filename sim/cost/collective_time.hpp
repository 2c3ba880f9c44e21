// How NCCL would run a collective: which algorithm and protocol, what each rank then sends, and what latency precedes
// it.
#pragma once

#include <cstdint>

#include "model/core/units.hpp"
#include "sim/topology/collective_figures.hpp"

namespace shardsim {

enum class CollectiveKind : std::uint8_t { all_gather, reduce_scatter, all_reduce, broadcast };

/// The slowest kind of hop on the ring inside a node.
enum class HopKind : std::uint8_t { nvlink, pcie };

/// A process group's shape.
struct CollectiveShape {
  std::int64_t ranks = 1;
  std::int64_t nodes = 1;
  HopKind intra = HopKind::nvlink;
  double bandwidth = 0;  ///< bytes a second that each rank can send to its ring neighbour when nothing else runs
  CollectiveFigures figures = {};  ///< the machine's own
};

/// What to simulate: `bytes` leave each rank toward its ring neighbour at the ring's bandwidth, after `latency`.
struct CollectiveCost {
  double bytes = 0;
  Time latency;
};

/// `total` is the size of the whole buffer S (all-gather: the gathered one; reduce-scatter: the input; all-reduce: the
/// buffer). The cheapest of NCCL's algorithms and protocols by NCCL's own model (NVIDIA/nccl, src/graph/tuning.cc):
/// ring sends S(n-1)/n for all-gather and reduce-scatter, 2S(n-1)/n for all-reduce; the tree (all-reduce only) sends 2S
/// with a latency that grows with log2(nodes); LL halves, LL128 takes 8 % of the bandwidth and both lower the latency.
/// What measurements show beyond that model comes on top: launching, filling the pipeline of chunks, across nodes what
/// each step of a ring and the tree's traffic take longer (constants.hpp), and inside a node the part of the ring's
/// bandwidth that the machine was measured at. Without one, reduction in the switch (NVLink SHARP) is left out. One
/// rank: nothing is sent.
CollectiveCost collective_cost(CollectiveKind kind, double total, const CollectiveShape& shape);

}  // namespace shardsim
