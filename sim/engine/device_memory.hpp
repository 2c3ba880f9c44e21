// What one program's device held: its allocations replayed through PyTorch's allocator, whenever they happened.
#pragma once

#include <algorithm>
#include <cstdint>
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

/// `reached`: how many instructions the host thread came to.
DeviceMemory replay_device_memory(const Program& program, std::size_t reached, std::uint16_t steps);

}  // namespace shardsim
