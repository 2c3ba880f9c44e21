#include "sim/validation/validation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "model/core/error.hpp"
#include "sim/report/notation.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/sweep/parallel.hpp"

namespace shardsim {

namespace {

constexpr std::size_t shown_terms = 3;

/// The largest few, written out; what is nothing is left out.
std::vector<std::string> largest(std::vector<std::pair<std::string, double>> parts, std::string (*write)(double)) {
  std::stable_sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::string> terms;
  for (const auto& [name, amount] : parts) {
    if (amount > 0 && terms.size() < shown_terms) terms.push_back(name + " " + write(amount));
  }
  return terms;
}

std::string gib_text(double bytes) { return in_gib(static_cast<std::int64_t>(bytes), 2) + " GiB"; }

std::vector<std::string> breakdown_terms(const Breakdown& breakdown, std::pair<std::string, double> rest) {
  std::vector<std::pair<std::string, double>> parts;
  for (const auto& [category, bytes] : breakdown) parts.emplace_back(name_of(category), static_cast<double>(bytes));
  parts.push_back(std::move(rest));
  return largest(std::move(parts), gib_text);
}

struct Prediction {
  double value = 0;
  std::vector<std::string> terms;
};

/// The device that is fullest by the quantity, and what fills it.
Prediction device_memory(const Report& report, std::int64_t DeviceReport::*peak) {
  const auto fullest = std::max_element(report.devices.begin(), report.devices.end(),
                                        [&](const auto& a, const auto& b) { return a.*peak < b.*peak; });
  if (fullest == report.devices.end()) return {};
  const double value = static_cast<double>((*fullest).*peak);
  const double beyond = value - static_cast<double>(fullest->peak_allocated_bytes);
  return {value, breakdown_terms(fullest->at_peak, {"beyond what is allocated", beyond})};
}

Prediction host_memory(const Report& report) {
  const auto fullest = std::max_element(report.hosts.begin(), report.hosts.end(),
                                        [](const auto& a, const auto& b) { return a.peak_bytes < b.peak_bytes; });
  if (fullest == report.hosts.end()) return {};
  return {static_cast<double>(fullest->peak_bytes), breakdown_terms(fullest->at_peak, {"", 0})};
}

std::vector<std::string> step_terms(const StepReport& step) {
  return largest({{"compute", step.compute_s},
                  {"exposed communication", step.exposed_communication_s},
                  {"exposed transfers", step.exposed_transfer_s},
                  {"optimizer", step.optimizer_s},
                  {"idle", step.idle_s}},
                 duration_text);
}

Prediction predict(const Report& report, Quantity quantity) {
  switch (quantity) {
    case Quantity::allocated_bytes:
      return device_memory(report, &DeviceReport::peak_allocated_bytes);
    case Quantity::reserved_bytes:
      return device_memory(report, &DeviceReport::peak_reserved_bytes);
    case Quantity::used_bytes:
      return device_memory(report, &DeviceReport::peak_used_bytes);
    case Quantity::host_bytes:
      return host_memory(report);
    case Quantity::oom:
      return {report.fits ? 0.0 : 1.0, device_memory(report, &DeviceReport::peak_used_bytes).terms};
    case Quantity::step_time_s:
      return {report.step.time_s, step_terms(report.step)};
    case Quantity::tokens_per_s_per_gpu:
      return {report.step.tokens_per_s_per_gpu, step_terms(report.step)};
  }
  return {};
}

/// What became of one run.
struct Checked {
  std::vector<Comparison> comparisons;
  std::string refusal;
  bool is_fault = false;
};

Checked check(const MeasuredRun& run, std::size_t index, const DataFolders& data) {
  Checked checked;
  try {
    OptionTexts options = run.options;
    if (const auto config = options.find("config"); config != options.end()) {
      OptionTexts file = read_config_file(config->second.value);
      options.merge(file);
    }
    const Report report = simulate(resolve_request(std::move(options)), data);
    for (std::size_t q = 0; q < quantity_count; ++q) {
      if (!run.measured[q]) continue;
      const auto quantity = static_cast<Quantity>(q);
      const double measured = *run.measured[q];
      Prediction prediction = predict(report, quantity);
      const double error = quantity == Quantity::oom ? prediction.value - measured : prediction.value / measured - 1;
      checked.comparisons.push_back({index, quantity, prediction.value, measured, error,
                                     technique_family(report.request), std::move(prediction.terms)});
    }
  } catch (const InputError& error) {
    checked.refusal = error.what();
  } catch (const std::exception& error) {
    checked.refusal = fmt::format("internal fault: {}; this is a bug, please report it with the row", error.what());
    checked.is_fault = true;
  }
  return checked;
}

/// A throughput that is a third too high is a step time that is a quarter too low.
double as_time_error(const Comparison& comparison) {
  if (comparison.quantity != Quantity::tokens_per_s_per_gpu) return comparison.error;
  return comparison.predicted > 0 ? comparison.measured / comparison.predicted - 1 : 0;
}

GroupSummary summarize_group(const Validation& validation, std::string name,
                             const std::function<bool(const MeasuredRun&)>& belongs) {
  GroupSummary group;
  group.name = std::move(name);
  const std::vector<MeasuredRun>& runs = validation.measured.runs;
  group.runs = std::count_if(runs.begin(), runs.end(), belongs);
  for (const auto& [run, reason] : validation.not_expressed) group.not_expressed += belongs(runs[run]) ? 1 : 0;
  std::array<std::vector<double>, quantity_count> errors;
  std::vector<double> memory;
  std::vector<double> time;
  for (const Comparison& comparison : validation.comparisons) {
    if (!belongs(runs[comparison.run])) continue;
    errors[static_cast<std::size_t>(comparison.quantity)].push_back(comparison.error);
    if (is_memory(comparison.quantity)) memory.push_back(comparison.error);
    if (is_time(comparison.quantity)) time.push_back(as_time_error(comparison));
    if (comparison.quantity != Quantity::oom) continue;
    const bool ran_out = comparison.measured > 0;
    ++(ran_out ? group.oom.ran_out : group.oom.ran);
    if (comparison.predicted > 0) ++(ran_out ? group.oom.foreseen : group.oom.called_impossible);
  }
  for (std::size_t q = 0; q < quantity_count; ++q) {
    if (errors[q].empty() || static_cast<Quantity>(q) == Quantity::oom) continue;
    group.quantities.emplace_back(name_of(static_cast<Quantity>(q)), summarize(std::move(errors[q])));
  }
  if (!memory.empty()) group.quantities.emplace_back("memory", summarize(std::move(memory)));
  if (!time.empty()) group.quantities.emplace_back("time", summarize(std::move(time)));
  return group;
}

std::vector<GroupSummary> summarize_by(const Validation& validation, std::string MeasuredRun::*key) {
  std::set<std::string> names;
  for (const MeasuredRun& run : validation.measured.runs) names.insert(run.*key);
  std::vector<GroupSummary> groups;
  for (const std::string& name : names) {
    groups.push_back(summarize_group(validation, name.empty() ? "(none)" : name,
                                     [&](const MeasuredRun& run) { return run.*key == name; }));
  }
  return groups;
}

}  // namespace

double quantile(const std::vector<double>& sorted, double part) {
  const double place = part * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

ErrorSummary summarize(std::vector<double> errors) {
  ErrorSummary summary;
  summary.count = static_cast<std::int64_t>(errors.size());
  if (errors.empty()) return summary;
  std::sort(errors.begin(), errors.end());
  summary.median = quantile(errors, 0.5);
  for (const double error : errors) summary.bias += error / static_cast<double>(errors.size());
  for (double& error : errors) error = std::abs(error);
  std::sort(errors.begin(), errors.end());
  summary.median_absolute = quantile(errors, 0.5);
  summary.p90_absolute = quantile(errors, 0.9);
  return summary;
}

Validation validate(MeasuredRuns measured, const DataFolders& data, int threads) {
  Validation validation;
  validation.measured = std::move(measured);
  const std::vector<MeasuredRun>& runs = validation.measured.runs;
  std::vector<Checked> checked(runs.size());
  parallel_for(runs.size(), threads, [&](std::size_t i) { checked[i] = check(runs[i], i, data); });
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (Comparison& comparison : checked[i].comparisons) validation.comparisons.push_back(std::move(comparison));
    if (!checked[i].refusal.empty()) validation.not_expressed.emplace_back(i, checked[i].refusal);
    validation.faults += checked[i].is_fault ? 1 : 0;
  }
  return validation;
}

GroupSummary summarize_all(const Validation& validation) {
  return summarize_group(validation, "all", [](const MeasuredRun&) { return true; });
}

std::vector<GroupSummary> summarize_by_source(const Validation& validation) {
  return summarize_by(validation, &MeasuredRun::source);
}

std::vector<GroupSummary> summarize_by_trust(const Validation& validation) {
  return summarize_by(validation, &MeasuredRun::trust);
}

std::vector<std::size_t> worst(const Validation& validation, std::size_t count) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < validation.comparisons.size(); ++i) {
    if (validation.comparisons[i].quantity != Quantity::oom) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::abs(validation.comparisons[a].error) > std::abs(validation.comparisons[b].error);
  });
  order.resize(std::min(order.size(), count));
  return order;
}

}  // namespace shardsim
