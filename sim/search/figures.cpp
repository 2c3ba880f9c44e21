#include "sim/search/figures.hpp"

#include <algorithm>
#include <array>

#include "model/core/suggest.hpp"

namespace shardsim {

namespace {

constexpr std::array all_objectives = {
    Objective{"memory", "peak_used_bytes", true},
    Objective{"host-memory", "host_peak_bytes", true},
    Objective{"step-time", "step_time_s", true},
    Objective{"tokens-per-s", "tokens_per_s", false},
    Objective{"tokens-per-s-per-gpu", "tokens_per_s_per_gpu", false},
    Objective{"mfu", "mfu", false},
    Objective{"cost-per-token", "usd_per_million_tokens", true},
    Objective{"energy-per-token", "joules_per_token", true},
};

}  // namespace

Figures key_figures(const Report& report) {
  Figures figures;
  figures.fits = report.fits;
  figures.tight = fit_of(report) == Fit::tight;
  for (const DeviceReport& device : report.devices) {
    figures.peak_allocated_bytes = std::max(figures.peak_allocated_bytes, device.peak_allocated_bytes);
    figures.peak_reserved_bytes = std::max(figures.peak_reserved_bytes, device.peak_reserved_bytes);
    if (device.peak_used_bytes < figures.peak_used_bytes) continue;
    figures.peak_used_bytes = device.peak_used_bytes;
    figures.capacity_bytes = device.capacity_bytes;
  }
  for (const HostReport& host : report.hosts) {
    if (host.peak_bytes < figures.host_peak_bytes) continue;
    figures.host_peak_bytes = host.peak_bytes;
    figures.host_capacity_bytes = host.capacity_bytes;
  }
  const StepReport& step = report.step;
  figures.step_time_s = step.time_s;
  figures.tokens_per_s = step.tokens_per_s;
  figures.tokens_per_s_per_gpu = step.tokens_per_s_per_gpu;
  figures.mfu = step.mfu;
  if (step.tokens_per_s > 0) {
    if (report.request.price) figures.usd_per_million_tokens = *report.request.price / 3600 * 1e6 / step.tokens_per_s;
    figures.joules_per_token = report.power_watts / step.tokens_per_s;
  }
  if (report.run) {
    figures.run_hours = report.run->hours;
    figures.run_energy_kWh = report.run->energy_kWh;
  }
  figures.bottleneck = report.bottleneck.resource;
  return figures;
}

std::vector<NamedFigure> named_figures(const Figures& figures) {
  const auto bytes = [](std::string_view name, std::int64_t value) {
    return NamedFigure{name, static_cast<double>(value), true};
  };
  return {bytes("peak_allocated_bytes", figures.peak_allocated_bytes),
          bytes("peak_reserved_bytes", figures.peak_reserved_bytes),
          bytes("peak_used_bytes", figures.peak_used_bytes),
          bytes("capacity_bytes", figures.capacity_bytes),
          bytes("host_peak_bytes", figures.host_peak_bytes),
          bytes("host_capacity_bytes", figures.host_capacity_bytes),
          {"step_time_s", figures.step_time_s},
          {"tokens_per_s", figures.tokens_per_s},
          {"tokens_per_s_per_gpu", figures.tokens_per_s_per_gpu},
          {"mfu", figures.mfu},
          {"usd_per_million_tokens", figures.usd_per_million_tokens},
          {"joules_per_token", figures.joules_per_token},
          {"run_hours", figures.run_hours},
          {"run_energy_kWh", figures.run_energy_kWh}};
}

std::span<const Objective> objectives() { return all_objectives; }

const Objective& find_objective(std::string_view name, std::string_view where) {
  std::vector<std::string> known;
  for (const Objective& objective : all_objectives) {
    if (objective.name == name) return objective;
    known.emplace_back(objective.name);
  }
  throw_unknown_name("objective", name, where, known);
}

}  // namespace shardsim
