// Runs a plan.
#pragma once

#include <vector>

#include "sim/engine/device_replays.hpp"
#include "sim/engine/memory_cache.hpp"
#include "sim/engine/memory_script.hpp"
#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// What follows from a plan's structure alone: it holds for each plan that differs in sizes and durations.
struct PreparedPlan {
  std::vector<MemoryScript> memory;                  ///< by program
  std::vector<std::vector<Forerunner>> forerunners;  ///< likewise
};
/// Checks the plan, too.
PreparedPlan prepare(const Plan& plan);

/// Simulates every program's host thread, streams and transfers in integer picoseconds, and replays its allocations
/// through the allocators. A pure function: the same plan gives the same outcome, bit for bit. Never throws for a plan
/// that does not fit (peaks are reported whatever the capacity) and reports a deadlock instead of hanging.
Outcome run(const Plan& plan);
/// The same for a plan of a structure that was prepared. With `memory`, replays of device memory are kept there.
Outcome run(const Plan& plan, const PreparedPlan& prepared, MemoryCache* memory = nullptr);

}  // namespace shardsim
