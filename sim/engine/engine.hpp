// Runs a plan.
#pragma once

#include "sim/engine/memory_cache.hpp"
#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// Simulates every program's host thread, streams and transfers in integer picoseconds, and replays its allocations
/// through the allocators. A pure function: the same plan gives the same outcome, bit for bit. Never throws for a plan
/// that does not fit (peaks are reported whatever the capacity) and reports a deadlock instead of hanging.
Outcome run(const Plan& plan, MemoryCache* memory = nullptr);
/// The same for a plan that has the structure of one which was run before: it is not checked again.
/// With `memory`, replays of device memory are kept there.
Outcome run_again(const Plan& plan, MemoryCache* memory = nullptr);

}  // namespace shardsim
