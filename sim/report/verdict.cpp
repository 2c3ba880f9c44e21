#include "sim/report/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/report/grouping.hpp"
#include "sim/report/notation.hpp"
#include "sim/request/choices.hpp"

namespace shardsim {

namespace {

/// Two amounts with as many decimals as it takes to tell them apart.
struct Amounts {
  std::string needed, available;
};
Amounts amounts(std::int64_t needed, std::int64_t available) {
  int decimals = 1;
  while (decimals < 6 && needed != available && in_gib(needed, decimals) == in_gib(available, decimals)) ++decimals;
  return {in_gib(needed, decimals), in_gib(available, decimals)};
}

std::string places(const Report& report, const DeviceReport& device) {
  std::int64_t equal = 0;
  std::int64_t all = 0;
  for (const DeviceReport& group : group_equal(report.devices)) {
    all += group.count;
    if (group.name == device.name) equal += group.count;
  }
  if (all == 1) return "on " + device.name;
  if (equal < all) return fmt::format("on {} ({}), the fullest of {} devices", device.id, device.name, all);
  return fmt::format("on each of {} x {}", all, device.name);
}

std::string device_excess(const Report& report, const DeviceReport& device) {
  const auto [needed, available] = amounts(device.peak_used_bytes, device.capacity_bytes);
  return fmt::format("needs {} GiB, has {} GiB {}", needed, available, places(report, device));
}

std::string host_excess(const HostReport& host, std::int64_t nodes) {
  const auto [needed, available] = amounts(host.peak_bytes, host.capacity_bytes);
  const std::string place = nodes == 1 ? "the host" : fmt::format("each of {} hosts", nodes);
  return fmt::format("needs {} GiB of host RAM, has {} GiB on {}", needed, available, place);
}

std::string storage_excess(const StorageReport& storage) {
  const auto [needed, available] = amounts(storage.peak_bytes, storage.capacity_bytes);
  return fmt::format("needs {} GiB on {}, has {} GiB", needed, storage.id, available);
}

std::string states(const Report& report) {
  const double parameters = static_cast<double>(report.model.parameters);
  return fmt::format("model states alone: {:.1f} B a parameter x {} = {:.1f} GB, before any sharding",
                     report.states_bytes_per_parameter, count_text(parameters),
                     report.states_bytes_per_parameter * parameters / 1e9);
}

Verdict misfit(const Report& report) {
  std::vector<std::string> exceeded;
  const DeviceReport* device = fullest(report.devices);
  if (device != nullptr && !device->fits) exceeded.push_back(device_excess(report, *device));
  for (const HostReport& host : group_equal(report.hosts)) {
    if (!host.fits) exceeded.push_back(host_excess(host, host.count));
  }
  for (const StorageReport& storage : report.storage) {
    if (storage.peak_bytes > storage.capacity_bytes) exceeded.push_back(storage_excess(storage));
  }
  if (exceeded.empty()) exceeded.push_back("see the warnings");
  Verdict result{"DOES NOT FIT: " + exceeded.front(), {}};
  for (std::size_t i = 1; i < exceeded.size(); ++i) result.reasons.push_back("also " + exceeded[i]);
  result.reasons.push_back(states(report));
  return result;
}

}  // namespace

std::optional<std::pair<double, double>> range_of(const Report& report, Ranged quantity, double amount) {
  const std::optional<ErrorRange>& range = report.ranges[static_cast<std::size_t>(quantity)];
  if (!range) return {};
  return std::pair{amount * range->low, amount * range->high};
}

Fit fit_of(const Report& report) {
  if (!report.fits) return Fit::does_not_fit;
  const auto exceeds = [&](Ranged quantity, std::int64_t peak, std::int64_t capacity) {
    const auto range = range_of(report, quantity, static_cast<double>(peak));
    return range && range->second > static_cast<double>(capacity);
  };
  const bool tight = std::any_of(report.devices.begin(), report.devices.end(),
                                 [&](const DeviceReport& device) {
                                   return exceeds(Ranged::used_bytes, device.peak_used_bytes, device.capacity_bytes);
                                 }) ||
                     std::any_of(report.hosts.begin(), report.hosts.end(), [&](const HostReport& host) {
                       return exceeds(Ranged::host_bytes, host.peak_bytes, host.capacity_bytes);
                     });
  return tight ? Fit::tight : Fit::fits;
}

Verdict verdict(const Report& report) {
  if (!report.fits) return misfit(report);
  const DeviceReport* device = fullest(report.devices);
  if (device == nullptr) return {"FITS", {}};
  const auto [needed, available] = amounts(device->peak_used_bytes, device->capacity_bytes);
  Verdict said{fmt::format("FITS: {} of {} GiB {}", needed, available, places(report, *device)), {}};
  if (fit_of(report) == Fit::tight) {
    said.reasons.push_back("TIGHT: " + std::string(tight_meaning));
  }
  return said;
}

std::string scenario_line(const Report& report) {
  const Request& request = report.request;
  const std::string accumulated = request.grad_accum > 1 ? fmt::format(" x {}", request.grad_accum) : "";
  return fmt::format("{} ({} parameters), {}, {}, micro-batch {}{} of {} tokens, {} rank{} on {}", report.model.name,
                     count_text(static_cast<double>(report.model.parameters)), request.strategy,
                     name_in(precision_choices, request.precision), request.micro_batch, accumulated, request.seq_len,
                     report.ranks, report.ranks == 1 ? "" : "s", report.topology_name);
}

}  // namespace shardsim
