// The report of one run as a page to look at.
#pragma once

#include <string>

#include "sim/engine/outcome.hpp"
#include "sim/plan/make_plan.hpp"
#include "sim/report/report.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

/// One file with all that it shows and draws. `command` is what was typed.
std::string render_html(const Report& report, const Topology& topology, const PlannedRun& run, const Outcome& outcome,
                        const std::string& command);

}  // namespace shardsim
