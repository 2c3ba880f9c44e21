// Collectives are kernels too: they take multiprocessors and memory bandwidth from what computes beside them.
#pragma once

#include "sim/engine/event_loop.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// How much longer each kernel takes than it would alone, given when everything ran: Program::collective_slowdown of
/// the time that it shared with collectives of its program. Empty where nothing was shared.
Delays contention(const Plan& plan, const Timeline& timeline);

}  // namespace shardsim
