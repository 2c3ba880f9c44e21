// What a search keeps of a report, and what it may search for.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/report/report.hpp"

namespace shardsim {

/// The key figures of one simulation: of its fullest device and host.
struct Figures {
  bool fits = false;
  bool tight = false;  ///< it fits, but not at the high end of the range of runs of this kind
  std::int64_t peak_allocated_bytes = 0, peak_reserved_bytes = 0, peak_used_bytes = 0, capacity_bytes = 0;
  std::int64_t host_peak_bytes = 0, host_capacity_bytes = 0;
  double step_time_s = 0, tokens_per_s = 0, tokens_per_s_per_gpu = 0, mfu = 0;
  std::optional<double> usd_per_million_tokens;  ///< absent: nobody knows the price
  double joules_per_token = 0;
  std::optional<double> run_hours, run_energy_kWh;  ///< absent: the request says no length
  std::string bottleneck;
};
Figures key_figures(const Report& report);

/// Their names and values, in the order of the struct; absent ones too. Texts of `bottleneck` are not among them.
struct NamedFigure {
  std::string_view name;
  std::optional<double> value;
  bool whole = false;  ///< an integer
};
std::vector<NamedFigure> named_figures(const Figures& figures);

/// One aim of a search: "memory", "step-time", ...
struct Objective {
  std::string_view name;
  std::string_view figure;  ///< the figure behind it, as named_figures() names it
  bool smaller_is_better = true;
};
std::span<const Objective> objectives();
/// Throws InputError with the known names.
const Objective& find_objective(std::string_view name, std::string_view where);

}  // namespace shardsim
