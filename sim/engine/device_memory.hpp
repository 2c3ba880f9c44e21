// What one program's device held: its allocations replayed through PyTorch's allocator.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

struct DeviceMemory {
  std::vector<PoolPeak> stages;  ///< by stage_of(); without their instants
  std::vector<bool> seen;        ///< likewise: anything happened there
  std::int64_t final_bytes = 0;
  std::int64_t limit = 0;        ///< what segments might take
  std::int64_t most_wanted = 0;  ///< what they would have taken without one

  /// True where another limit would have led to the same.
  bool holds_for(std::int64_t other) const { return other == limit || std::min(limit, other) >= most_wanted; }
};

inline bool is_memory(const Instruction& instruction) {
  return instruction.kind == Instruction::Kind::allocate || instruction.kind == Instruction::Kind::release;
}
/// What the allocator may take of the device.
inline std::int64_t memory_limit(const Program& program) { return program.capacity_bytes - program.outside_bytes; }

/// `spans`: by task; `instants`: the host thread's clock after each instruction that it came to. Both matter only where
/// waits_for_streams().
DeviceMemory replay_device_memory(const Program& program, std::span<const Span> spans, std::span<const Time> instants,
                                  std::uint16_t steps);
/// True where memory is let go that another stream still uses (Tensor::used_on), so that times decide when it serves
/// again.
bool waits_for_streams(const Program& program);

}  // namespace shardsim
