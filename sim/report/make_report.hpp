// Outcome -> Report: the engine's classes and picoseconds in the user's words.
#pragma once

#include "model/architecture.hpp"
#include "sim/engine/outcome.hpp"
#include "sim/plan/make_plan.hpp"
#include "sim/report/report.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

Report make_report(const Request& request, const Topology& topology, const Architecture& architecture,
                   const PlannedRun& run, const Outcome& outcome);

/// The five parts of the last step on one program's device; they sum to the step's window exactly. At each instant the
/// first that applies: kernels of forward and backward on the compute stream; the optimizer's kernels or CPU work;
/// collectives and the kernels that feed them; copies to and from the host; nothing.
struct StepParts {
  Time compute, communication, transfer, optimizer, idle;
};
StepParts split_step(const Program& program, const ProgramOutcome& outcome, Time begin, Time length);

}  // namespace shardsim
