#include "sim/report/run.hpp"

#include <fmt/format.h>

#include <cmath>

#include "model/core/checked.hpp"
#include "model/core/error.hpp"

namespace shardsim {

namespace {

constexpr double seconds_an_hour = 3600;
constexpr double most_steps = 1e15;

double steps_of(const Request& request, const StepReport& step) {
  const double epochs = request.epochs.value_or(1);
  if (request.tokens) {
    return std::ceil(static_cast<double>(*request.tokens) * epochs / static_cast<double>(step.tokens));
  }
  const double sequences = static_cast<double>(step.tokens) / static_cast<double>(request.seq_len);
  return std::ceil(std::ceil(static_cast<double>(*request.examples) / sequences) * epochs);
}

}  // namespace

bool assumes_host_power(const Topology& topology) { return topology.host_power_watts == 0; }

double power_of(const Topology& topology) {
  double boards = 0;
  for (const Device& device : topology.devices) boards += device.spec.power_watts;
  return boards + (assumes_host_power(topology) ? host_power_share * boards : topology.host_power_watts);
}

std::optional<RunReport> whole_run(const Request& request, const Topology& topology, const StepReport& step,
                                   std::vector<std::string>& assumptions) {
  if (!request.tokens && !request.examples) return {};
  const double steps = steps_of(request, step);
  if (steps > most_steps) {
    throw InputError("the run has too many steps to count", "--tokens, --examples, --epochs", "a shorter run");
  }
  RunReport run;
  run.steps = static_cast<std::int64_t>(steps);
  run.tokens = checked_product(run.steps, step.tokens, "tokens of the run");
  run.hours = steps * step.time_s / seconds_an_hour;
  run.gpu_hours = run.hours * static_cast<double>(topology.devices.size());
  run.energy_kWh = power_of(topology) * run.hours / 1000;
  if (request.price) run.cost_usd = *request.price * run.hours;
  assumptions.push_back(fmt::format(
      "energy counts every GPU at its board power all along and {} for the hosts; no cooling, no idle "
      "hours, no failed runs",
      assumes_host_power(topology)
          ? fmt::format("{:.0f} % of it (as a DGX H100 draws at most, where nobody says)", 100 * host_power_share)
          : fmt::format("{:.0f} W", topology.host_power_watts)));
  return run;
}

}  // namespace shardsim
