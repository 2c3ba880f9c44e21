#include "sim/report/phases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/core/checked.hpp"

namespace shardsim {
namespace {

bool saves(const Plan& plan) {
  return std::any_of(plan.programs.begin(), plan.programs.end(), [](const Program& program) {
    return std::any_of(program.marks.begin(), program.marks.end(),
                       [](const Mark& mark) { return mark.phase == Phase::save; });
  });
}

std::vector<std::string> stage_names(const Plan& plan) {
  std::vector<std::string> names{"load"};
  for (std::uint16_t step = 1; step < plan.steps; ++step) {
    names.push_back(step == 1 ? "first step" : fmt::format("step {}", step));
  }
  names.emplace_back("steady step");
  if (saves(plan)) names.emplace_back("save");
  return names;
}

}  // namespace

std::string describe(const Plan& plan, const Mark& mark) {
  std::string text(name_of(mark.phase));
  if (mark.layer >= 0) {
    text += fmt::format(", layer {}", mark.layer);
  } else if (mark.label.valid() && plan.labels[mark.label.index()] != text) {
    text += ", " + plan.labels[mark.label.index()];
  }
  if (mark.step == 0 && mark.phase != Phase::load) text += " (first step)";
  return text;
}

std::vector<DevicePhase> device_phases(const Plan& plan, const Program& program, const ProgramOutcome& outcome) {
  std::vector<DevicePhase> phases;
  const std::vector<std::string> names = stage_names(plan);
  for (std::size_t stage = 0; stage < names.size(); ++stage) {
    const PoolPeak& peak = outcome.device_by_stage[stage];
    // Managed memory appears in the first step.
    const std::int64_t used = program.used_bytes(peak.reserved) - (stage == 0 ? program.managed_bytes : 0);
    phases.push_back({names[stage], peak.allocated, peak.reserved, used, describe(plan, program.marks[peak.mark])});
  }
  return phases;
}

std::vector<HostPhase> host_phases(const Plan& plan, const HostOutcome& outcome) {
  std::vector<HostPhase> phases;
  const std::vector<std::string> names = stage_names(plan);
  for (std::size_t stage = 0; stage < names.size(); ++stage) {
    phases.push_back({names[stage], outcome.by_stage[stage].peak, outcome.by_stage[stage].pinned_peak});
  }
  return phases;
}

std::optional<SaveReport> save_report(const Plan& plan, const Outcome& outcome) {
  if (!saves(plan)) return std::nullopt;
  const std::size_t stage = stage_count(plan.steps) - 1;
  SaveReport save;
  save.time_s = outcome.save_time.seconds();
  for (std::size_t p = 0; p < plan.programs.size(); ++p) {
    const Program& program = plan.programs[p];
    const std::int64_t used = program.used_bytes(outcome.programs[p].device_by_stage[stage].reserved);
    save.peak_device_bytes = std::max(save.peak_device_bytes, used);
    save.fits = save.fits && used <= program.capacity_bytes;
    save.written_bytes += checked_whole(std::round(program.saved) * static_cast<double>(program.devices.size()),
                                        "bytes of the checkpoint");
  }
  for (std::size_t h = 0; h < plan.host_classes.size(); ++h) {
    const HostClass& host = plan.host_classes[h];
    const std::int64_t peak = outcome.hosts[h].by_stage[stage].peak;
    save.peak_host_bytes = std::max(save.peak_host_bytes, peak);
    save.fits = save.fits && peak <= host.memory_bytes;
    save.fits = save.fits && (host.storage_bytes == 0 || outcome.hosts[h].storage_peak <= host.storage_bytes);
  }
  return save;
}

}  // namespace shardsim
