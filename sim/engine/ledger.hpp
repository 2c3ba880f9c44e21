// What one program's memories held, and when.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/engine/device_memory.hpp"
#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// What one rank holds outside its device after an allocation or release there.
struct HostLevel {
  Time instant;
  std::size_t stage = 0;    ///< stage_of() the mark in force
  std::int64_t pinned = 0;  ///< blocks held, free ones included
  std::int64_t pageable = 0;
  std::int64_t storage = 0;
  std::array<std::int64_t, category_count> by_category{};  ///< of pinned + pageable
  std::size_t instruction = 0;                             ///< Program::instructions: the one that made it so
};

/// `instants`: the host thread's clock after each instruction; where it stopped early, the rest is not replayed.
/// What the rank holds outside its device, in the host thread's order.
std::vector<HostLevel> replay_host_memory(const Program& program, const MemoryScript& script,
                                          std::span<const Time> instants);
/// The device's peak inside each stage_of(), in the program's words.
std::vector<PoolPeak> device_peaks(const DeviceMemory& device, const MemoryScript& script,
                                   std::span<const Time> instants);
/// The highest of them.
PoolPeak highest(const std::vector<PoolPeak>& stages);

}  // namespace shardsim
