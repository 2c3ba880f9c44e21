// The spread of measured over predicted, by family of runs.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "sim/validation/validation.hpp"

namespace shardsim {

namespace {

std::optional<Ranged> ranged(Quantity quantity) {
  switch (quantity) {
    case Quantity::allocated_bytes:
      return Ranged::allocated_bytes;
    case Quantity::reserved_bytes:
      return Ranged::reserved_bytes;
    case Quantity::used_bytes:
      return Ranged::used_bytes;
    case Quantity::host_bytes:
      return Ranged::host_bytes;
    case Quantity::oom:
      return {};
    case Quantity::step_time_s:
    case Quantity::tokens_per_s_per_gpu:
      break;
  }
  return Ranged::time;
}

/// A throughput is the inverse of a time.
double ratio(const Comparison& comparison) {
  const bool inverse = comparison.quantity == Quantity::tokens_per_s_per_gpu;
  return inverse ? comparison.predicted / comparison.measured : comparison.measured / comparison.predicted;
}

}  // namespace

Residuals residuals_of(const Validation& validation) {
  std::map<std::pair<std::string, Ranged>, std::vector<double>> ratios;
  for (const Comparison& comparison : validation.comparisons) {
    const std::optional<Ranged> quantity = ranged(comparison.quantity);
    if (!quantity || !(comparison.predicted > 0)) continue;
    if (validation.measured.runs[comparison.run].trust == "low") continue;
    for (const std::string& family : {std::string("all"), comparison.family}) {
      ratios[{family, *quantity}].push_back(ratio(comparison));
    }
  }
  Residuals residuals;
  for (auto& [key, values] : ratios) {
    std::sort(values.begin(), values.end());
    const auto count = static_cast<std::int64_t>(values.size());
    if (count < fewest_runs) continue;
    residuals.push_back({key.first, key.second, count, {quantile(values, range_begin), quantile(values, range_end)}});
  }
  return residuals;
}

std::string render_residuals(const Residuals& residuals) {
  std::string text = "family,quantity,count,low,high\n";
  for (const ResidualClass& entry : residuals) {
    text += fmt::format("{},{},{},{:.3f},{:.3f}\n", entry.family, name_of(entry.quantity), entry.count, entry.range.low,
                        entry.range.high);
  }
  return text;
}

}  // namespace shardsim
