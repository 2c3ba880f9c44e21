// What the engine relies on.
#pragma once

#include "sim/plan/plan.hpp"

namespace shardsim {

/// Throws InternalError when a plan breaks a rule of plan.hpp: an index out of range, a task launched twice or never, a
/// tensor freed that is not live, an amount that is negative or not finite. After it the engine indexes without
/// looking.
void check_plan(const Plan& plan);

}  // namespace shardsim
