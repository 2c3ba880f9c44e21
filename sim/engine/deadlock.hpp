// Names what a plan that cannot finish is waiting for.
#pragma once

#include <vector>

#include "sim/engine/event_loop.hpp"

namespace shardsim {

/// Empty when all tasks ended and all host threads came to their end; else one entry that names, for every program, the
/// task at which each stream stands, what that waits for, and where the host thread stands.
std::vector<Deadlock> find_deadlock(const Plan& plan, const Timeline& timeline);

}  // namespace shardsim
