// For spreadsheets and scripts: one header, one row a group of equal devices.
#include <fmt/format.h>

#include <utility>

#include "sim/report/csv_field.hpp"
#include "sim/report/grouping.hpp"
#include "sim/report/report.hpp"
#include "sim/request/choices.hpp"

namespace shardsim {

namespace {

using Columns = std::vector<std::pair<std::string, std::string>>;

std::string word(bool value) { return value ? "true" : "false"; }
std::string number(std::int64_t value) { return fmt::format("{}", value); }
std::string number(double value) { return fmt::format("{}", value); }

Columns columns(const Report& report, const DeviceReport& device) {
  const Request& request = report.request;
  const StepReport& step = report.step;
  Columns row = {
      {"topology", report.topology_name},
      {"model", report.model.name},
      {"strategy", request.strategy},
      {"precision", std::string(name_in(precision_choices, request.precision))},
      {"seq_len", number(request.seq_len)},
      {"micro_batch", number(request.micro_batch)},
      {"grad_accum", number(request.grad_accum)},
      {"ranks", number(report.ranks)},
      {"fits", word(report.fits)},
      {"device", device.id},
      {"count", number(device.count)},
      {"name", device.name},
      {"device_fits", word(device.fits)},
      {"capacity_bytes", number(device.capacity_bytes)},
      {"peak_allocated_bytes", number(device.peak_allocated_bytes)},
      {"peak_reserved_bytes", number(device.peak_reserved_bytes)},
      {"peak_used_bytes", number(device.peak_used_bytes)},
  };
  for (std::size_t c = 0; c < category_count; ++c) {
    const auto category = static_cast<Category>(c);
    row.emplace_back(std::string(name_of(category)) + "_bytes", number(bytes_of(device.at_peak, category)));
  }
  std::int64_t host_peak = 0;
  for (const HostReport& host : report.hosts) host_peak = std::max(host_peak, host.peak_bytes);
  const Columns rest = {
      {"peak_at", device.peak_at},
      {"host_peak_bytes", number(host_peak)},
      {"step_time_s", number(step.time_s)},
      {"tokens_per_s", number(step.tokens_per_s)},
      {"tokens_per_s_per_gpu", number(step.tokens_per_s_per_gpu)},
      {"mfu", number(step.mfu)},
      {"hfu", number(step.hfu)},
      {"compute_s", number(step.compute_s)},
      {"exposed_communication_s", number(step.exposed_communication_s)},
      {"exposed_transfer_s", number(step.exposed_transfer_s)},
      {"optimizer_s", number(step.optimizer_s)},
      {"idle_s", number(step.idle_s)},
      {"bottleneck", report.bottleneck.resource},
  };
  row.insert(row.end(), rest.begin(), rest.end());
  const bool run = report.run.has_value();
  row.emplace_back("run_steps", run ? number(report.run->steps) : "");
  row.emplace_back("run_hours", run ? number(report.run->hours) : "");
  row.emplace_back("run_gpu_hours", run ? number(report.run->gpu_hours) : "");
  row.emplace_back("run_energy_kWh", run ? number(report.run->energy_kWh) : "");
  row.emplace_back("run_cost_usd", run && report.run->cost_usd ? number(*report.run->cost_usd) : "");
  return row;
}

template <class Pick>
std::string joined(const Columns& row, Pick pick) {
  std::string text;
  for (const auto& column : row) {
    if (!text.empty()) text += ',';
    text += csv_field(pick(column));
  }
  return text + "\n";
}

}  // namespace

std::string render_csv(const Report& report) {
  std::string text = joined(columns(report, DeviceReport{}), [](const auto& column) { return column.first; });
  for (const DeviceReport& device : group_equal(report.devices)) {
    text += joined(columns(report, device), [](const auto& column) { return column.second; });
  }
  return text;
}

}  // namespace shardsim
