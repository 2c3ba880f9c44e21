// One program's allocations and releases on its device, one after the other.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "sim/engine/caching_allocator.hpp"
#include "sim/engine/memory_script.hpp"
#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// What the allocator may take of the device.
inline std::int64_t memory_limit(const Program& program) { return program.capacity_bytes - program.outside_bytes; }

inline constexpr std::int64_t no_limit = std::numeric_limits<std::int64_t>::max();

/// When things happened, for scripts that wait for streams.
struct DeviceTimes {
  std::span<const Span> spans;     ///< by task
  std::span<const Time> instants;  ///< the host thread's clock after each instruction that it reached
};

class DeviceAllocations {
 public:
  /// `limit`: what the allocator may take of the device.
  DeviceAllocations(const Program& program, std::size_t allocations, std::int64_t limit);

  /// Plays the script's next line. `bytes`: by allocation.
  void play(const DeviceScript& script, std::size_t line, std::span<const std::int64_t> bytes,
            const DeviceTimes& times);
  /// A copy that goes on with another script, which was the same so far.
  DeviceAllocations branch(std::size_t allocations) const;
  CachingAllocator& allocator() { return allocator_; }
  const CachingAllocator& allocator() const { return allocator_; }
  BlockId block(std::size_t allocation) const { return blocks_[allocation]; }

 private:
  CachingAllocator allocator_;
  std::vector<BlockId> blocks_;  ///< by allocation
};

}  // namespace shardsim
