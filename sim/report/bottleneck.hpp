// Which resource the step waits for most.
#pragma once

#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"
#include "sim/report/make_report.hpp"

namespace shardsim {

/// The largest of the step's five parts, and within communication or transfer the link that was busiest while it moved
/// that kind of traffic: its share, and a sentence that says why.
Bottleneck find_bottleneck(const Plan& plan, const Program& program, const Outcome& outcome, const StepParts& parts);

}  // namespace shardsim
