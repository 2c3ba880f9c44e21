// What a machine's own collectives reach beyond NCCL's model of them.
#pragma once

#include "model/core/units.hpp"

namespace shardsim {

/// A machine file gives them as attributes of its graph (`shardsim calibrate --topology` writes those); the defaults
/// hold for all others.
struct CollectiveFigures {
  /// Of the bandwidth that the ring's links leave each rank inside a node: above 1 where switches reduce (NVLink
  /// SHARP). Across nodes the NICs' efficiency says it.
  double all_gather = 1, reduce_scatter = 1, all_reduce = 1;
  /// Launching on all ranks and meeting there. The smallest all-reduces of nccl-tests on 8 A100 take 35 us
  /// (microsoft/superbenchmark@700d6501 tests/data), where NCCL's model says 15.
  Time launch = Time(20'000'000);
  /// Filling the pipeline of chunks, but in the LL protocol: between 4 and 64 MB the 8-GPU listings of A100 (same
  /// source; stas00/ml-engineering@744d01e1 network) lie 30 to 130 us above latency plus bytes over the plateau's
  /// bandwidth.
  Time fill = Time(60'000'000);
};

}  // namespace shardsim
