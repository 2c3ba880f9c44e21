// What one program's memories held: its allocations replayed in the order of its host thread.
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

struct Ledger {
  PoolPeak device;
  std::vector<PoolPeak> device_by_stage;
  std::int64_t final_device_bytes = 0;
  std::vector<HostLevel> host;  ///< in the host thread's order
};

/// `instants`: the host thread's clock after each instruction; where it stopped early, the rest is not replayed.
Ledger replay_memory(const Program& program, std::span<const Time> instants, std::uint16_t steps);
/// The same where the device's part is known.
Ledger make_ledger(const Program& program, std::span<const Time> instants, std::uint16_t steps,
                   const DeviceMemory& device);

}  // namespace shardsim
