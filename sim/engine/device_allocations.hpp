// One program's allocations and releases on its device, one after the other.
#pragma once

#include <span>
#include <vector>

#include "sim/engine/caching_allocator.hpp"
#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

class DeviceAllocations {
 public:
  /// `spans`: when each task ran; `instants`: the host thread's clock after each instruction that it reached. Both must
  /// outlive this.
  DeviceAllocations(const Program& program, std::span<const Span> spans, std::span<const Time> instants);

  /// Plays the next instruction, in the program's order.
  void play(std::size_t instruction);
  CachingAllocator& allocator() { return allocator_; }
  /// Of a tensor that was allocated.
  BlockId block(std::size_t tensor) const { return blocks_[tensor]; }

 private:
  const Program& program_;
  std::span<const Span> spans_;
  std::span<const Time> instants_;
  CachingAllocator allocator_;
  std::vector<BlockId> blocks_;  ///< by tensor
  std::vector<Time> busy_until_;                   ///< by stream: the end of what is queued so far
};

}  // namespace shardsim
