// A plan for another batch or sequence from one that was recorded: the same tasks and tensors, other numbers.
#pragma once

#include "model/graph_amounts.hpp"
#include "sim/plan/make_plan.hpp"

namespace shardsim {

/// Makes `run` what make_plan() would record for the graph that `amounts` is of, bit for bit. The graph has the
/// structure of the one that `run` was recorded for, and nothing but batch and sequence differs between the requests.
void revalue(PlannedRun& run, const GraphAmounts& amounts, const Topology& topology);

}  // namespace shardsim
