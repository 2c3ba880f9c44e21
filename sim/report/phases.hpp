// The stages of a run and what each of them peaks at.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"
#include "sim/report/report.hpp"

namespace shardsim {

/// "backward, layer 31 (first step)".
std::string describe(const Plan& plan, const Mark& mark);

/// One entry a simulated stage, in the order of the run; saving only where something is saved.
std::vector<DevicePhase> device_phases(const Plan& plan, const Program& program, const ProgramOutcome& outcome);
std::vector<HostPhase> host_phases(const Plan& plan, const HostOutcome& outcome);

/// Of all devices and hosts; nothing where nothing is saved.
std::optional<SaveReport> save_report(const Plan& plan, const Outcome& outcome);

}  // namespace shardsim
