// Memory over simulated time, by category.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/engine/device_events.hpp"
#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// What a memory holds from an instant on.
struct MemoryLevel {
  Time instant;
  std::array<std::int64_t, category_count> by_category{};
  std::int64_t reserved = 0;    ///< of a device: segments held; of a host: pinned memory
  std::size_t program = 0;      ///< of a host: whose instruction made it so, by Plan::programs
  std::size_t instruction = 0;  ///< Program::instructions

  std::int64_t total() const;
};

/// The allocator's blocks on one device of the program, a level an event.
std::vector<MemoryLevel> device_levels(const Program& program, const ProgramOutcome& outcome);
/// Pinned and pageable memory of one host of the class, all its ranks together, a level an event.
std::vector<MemoryLevel> host_levels(const Plan& plan, const Outcome& outcome, std::size_t host_class);

}  // namespace shardsim
