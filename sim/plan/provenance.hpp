// Where a recorded program's numbers come from, so that another batch or sequence can put its own in their place.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace shardsim {

/// Which of the graph's sizes a recorded number is (model/graph_amounts.hpp).
using AmountId = std::uint32_t;
/// None: it follows neither batch nor sequence.
inline constexpr AmountId own_amount = std::numeric_limits<AmountId>::max();

struct Provenance {
  struct Source {
    std::uint32_t index = 0;  ///< of the tensor or task
    AmountId amount = 0;
  };
  std::vector<Source> tensors;  ///< their bytes
  std::vector<Source> kernels;  ///< tasks that run a kernel of the graph
  std::vector<Source> sums;     ///< tasks that add two gradients of so many bytes

  /// Kernels in the order in which their FLOPs were counted, those of muted stretches too; not the graph's own: its
  /// FLOPs stand in `other_flops`, in order.
  std::vector<AmountId> executed;
  std::vector<double> other_flops;
  struct Range {
    std::size_t begin = 0, end = 0;
  };
  std::vector<Range> recomputed;  ///< of `executed`
};

}  // namespace shardsim
