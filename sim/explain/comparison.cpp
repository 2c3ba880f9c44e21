#include "sim/explain/comparison.hpp"

#include <algorithm>
#include <map>

namespace shardsim {

namespace {

const DeviceReport& fullest_device(const Report& report) {
  return *std::max_element(
      report.devices.begin(), report.devices.end(),
      [](const DeviceReport& a, const DeviceReport& b) { return a.peak_allocated_bytes < b.peak_allocated_bytes; });
}

const HostReport* fullest_host(const Report& report) {
  const auto fullest =
      std::max_element(report.hosts.begin(), report.hosts.end(),
                       [](const HostReport& a, const HostReport& b) { return a.peak_bytes < b.peak_bytes; });
  return fullest == report.hosts.end() ? nullptr : &*fullest;
}

std::vector<DifferentOption> differences(const std::array<OptionTexts, 2>& options) {
  std::map<std::string, std::array<std::string, 2>> settings;
  for (std::size_t side = 0; side < 2; ++side) {
    for (const auto& [name, value] : options[side]) settings[name][side] = value.value;
  }
  std::vector<DifferentOption> different;
  for (const auto& [name, values] : settings) {
    if (values[0] != values[1]) different.push_back({name, values});
  }
  return different;
}

double held(const Breakdown& breakdown, Category category) {
  for (const auto& [entry, bytes] : breakdown) {
    if (entry == category) return static_cast<double>(bytes);
  }
  return 0;
}

}  // namespace

std::string_view unit_of(TermUnit quantity) {
  switch (quantity) {
    case TermUnit::bytes:
      return "B";
    case TermUnit::seconds:
      return "s";
    case TermUnit::tokens_per_second:
      return "tokens/s";
  }
  return "";
}

ReportComparison compare(const std::array<OptionTexts, 2>& options, const std::array<Report, 2>& reports) {
  ReportComparison comparison;
  comparison.options = differences(options);
  const auto add = [&](std::string part, std::string name, TermUnit quantity, const auto& value) {
    Term term{std::move(part), std::move(name), quantity, {}};
    for (std::size_t side = 0; side < 2; ++side) term.values[side] = static_cast<double>(value(reports[side]));
    if (term.values[0] != 0 || term.values[1] != 0) comparison.terms.push_back(std::move(term));
  };
  for (std::size_t c = 0; c < category_count; ++c) {
    const auto category = static_cast<Category>(c);
    add("device memory", std::string(name_of(category)), TermUnit::bytes,
        [&](const Report& report) { return held(fullest_device(report).at_peak, category); });
  }
  const auto device = [&](const char* name, std::int64_t DeviceReport::*bytes) {
    add("device memory", name, TermUnit::bytes, [&](const Report& report) { return fullest_device(report).*bytes; });
  };
  device("allocated", &DeviceReport::peak_allocated_bytes);
  device("reserved", &DeviceReport::peak_reserved_bytes);
  device("used", &DeviceReport::peak_used_bytes);
  for (std::size_t c = 0; c < category_count; ++c) {
    const auto category = static_cast<Category>(c);
    add("host RAM", std::string(name_of(category)), TermUnit::bytes, [&](const Report& report) {
      const HostReport* host = fullest_host(report);
      return host == nullptr ? 0.0 : held(host->at_peak, category);
    });
  }
  add("host RAM", "peak", TermUnit::bytes, [](const Report& report) {
    const HostReport* host = fullest_host(report);
    return host == nullptr ? std::int64_t{0} : host->peak_bytes;
  });
  const auto step = [&](const char* name, double StepReport::*value, TermUnit quantity = TermUnit::seconds) {
    add("step", name, quantity, [&](const Report& report) { return report.step.*value; });
  };
  step("compute", &StepReport::compute_s);
  step("exposed communication", &StepReport::exposed_communication_s);
  step("exposed transfers", &StepReport::exposed_transfer_s);
  step("optimizer", &StepReport::optimizer_s);
  step("idle", &StepReport::idle_s);
  step("whole", &StepReport::time_s);
  step("tokens/s", &StepReport::tokens_per_s, TermUnit::tokens_per_second);
  for (std::size_t side = 0; side < 2; ++side) {
    comparison.peak_at[side] = fullest_device(reports[side]).peak_at;
    comparison.bound_by[side] = reports[side].bottleneck.resource;
    comparison.fits[side] = reports[side].fits;
  }
  return comparison;
}

}  // namespace shardsim
