// What the step waited for, from its end back to its begin.
#pragma once

#include <vector>

#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// A stretch of the critical path: a task, or the host thread between two waits.
struct CriticalPiece {
  TaskId task;  ///< not valid: the host thread
  Time begin, end;
};

/// The chain that ends with the last task that is done by `end`: each task with whichever of the tasks that it waited
/// for, its stream's previous task or the host thread's launch came last. By time; the pieces lie within the window.
std::vector<CriticalPiece> critical_path(const Program& program, const ProgramOutcome& outcome, Time begin, Time end);

}  // namespace shardsim
