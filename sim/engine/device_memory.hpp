// What one program's device held: its allocations replayed through PyTorch's allocator.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "sim/engine/device_allocations.hpp"
#include "sim/engine/memory_script.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// In the words of a DeviceScript, so that programs with equal scripts share it.
struct DeviceMemory {
  static constexpr std::size_t nowhere = std::numeric_limits<std::size_t>::max();
  struct Peak {
    std::int64_t allocated = 0;
    std::int64_t reserved = 0;
    std::size_t line = nowhere;  ///< DeviceScript::lines: what first reached `allocated`
    std::array<std::int64_t, category_count> by_category{};
    std::vector<std::uint32_t> largest;  ///< DeviceScript::allocations: up to 20 that were live there, largest first
  };
  std::vector<Peak> stages;  ///< by stage_of()
  std::int64_t final_bytes = 0;
  std::int64_t limit = no_limit;  ///< what segments might take
  std::int64_t most_wanted = 0;   ///< what they would have taken at most without one
};

/// Requested bytes, by DeviceScript::allocations.
std::vector<std::int64_t> allocation_bytes(const Program& program, const DeviceScript& script);

/// The most bytes that are live at a time up to a line, each request rounded as PyTorch rounds it: no allocator gets by
/// with less.
std::int64_t most_live(const DeviceScript& script, std::size_t end, std::span<const std::int64_t> bytes);

/// A replay on its way.
class DeviceReplay {
 public:
  DeviceReplay(const Program& program, const DeviceScript& script, std::uint16_t steps, std::int64_t limit);
  /// Plays the script's lines up to `end`.
  void play(const DeviceScript& script, std::size_t end, std::span<const std::int64_t> bytes, const DeviceTimes& times);
  /// A copy that goes on with another script, which was the same so far.
  DeviceReplay branch(const DeviceScript& script) const;
  DeviceMemory finish(const DeviceScript& script) const;

 private:
  DeviceAllocations memory_;
  std::vector<std::int64_t> block_bytes_;  ///< by allocation: the block that it got, rounding and remainder included
  std::vector<DeviceMemory::Peak> stages_;
  std::size_t stage_;
  std::size_t next_ = 0;  ///< line
  std::int64_t limit_;
};

}  // namespace shardsim
