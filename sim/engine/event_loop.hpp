// When everything happens: host threads, streams and transfers in simulated time.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// One program's part of what happened.
struct Trace {
  std::vector<Span> spans;     ///< by TaskId; `never` where the task did not start, or end
  std::vector<Time> instants;  ///< the host's clock after each instruction that it reached
};

struct Timeline {
  std::vector<Trace> programs;
  std::vector<FlowSpan> flows;  ///< by begin; without the empty ones
  std::int64_t events = 0;      ///< instructions, flows' begins and ends
  bool complete = false;        ///< every task ended and every host thread came to its end
};

/// How much longer each task of each program takes than planned; empty: none.
using Delays = std::vector<std::vector<Time>>;

/// Plays the plan, which check_plan() has accepted, until nothing more can happen.
Timeline play(const Plan& plan, const Delays& delays = {});

}  // namespace shardsim
