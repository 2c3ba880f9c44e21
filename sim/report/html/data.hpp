// What the page of one run draws, as JSON. Times are seconds of simulated time, from the begin of loading.
#pragma once

#include <nlohmann/json.hpp>

#include "sim/engine/outcome.hpp"
#include "sim/plan/make_plan.hpp"
#include "sim/report/report.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim::html {

using Json = nlohmann::ordered_json;

/// Memory over time of each group of devices and each class of hosts, thinned out: of each interval its highest level
/// and its last. Nothing higher is left out, so the peak is exact.
Json memory_data(const Topology& topology, const Plan& plan, const Outcome& outcome, const Report& report);
/// The steady step of each group: slices by stream, where the host thread stands, and the critical path.
Json timeline_data(const Topology& topology, const Plan& plan, const Outcome& outcome);
/// The machine's links with what they carried, and the busiest over the steady step.
Json links_data(const Topology& topology, const PlannedRun& run, const Outcome& outcome);

}  // namespace shardsim::html
