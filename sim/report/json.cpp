// The contract's JSON: keys are only ever added, and the same report always gives the same bytes.
#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/report/grouping.hpp"
#include "sim/report/json_text.hpp"
#include "sim/report/report.hpp"
#include "sim/request/echo.hpp"

namespace shardsim {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t max_links = 64;

Json to_json(const OptionValue& value) {
  return std::visit(
      [](const auto& held) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(held)>, std::monostate>) {
          return nullptr;
        } else {
          return held;
        }
      },
      value);
}

// Every category has its key, so that a script need not ask which ones occur.
Json to_json(const Breakdown& breakdown) {
  Json object = Json::object();
  for (std::size_t c = 0; c < category_count; ++c) {
    object[std::string(name_of(static_cast<Category>(c)))] = bytes_of(breakdown, static_cast<Category>(c));
  }
  return object;
}

// What a runtime's own file came to, "auto" resolved; in DeepSpeed's names.
Json zero_json(const ZeroOptions& zero, bool stage3) {
  return {{"reduce_bucket_size", zero.reduce_bucket_size},
          {"overlap_comm", zero.overlap_comm.value_or(stage3)},
          {"contiguous_gradients", zero.contiguous_gradients},
          {"reduce_scatter", zero.reduce_scatter},
          {"round_robin_gradients", zero.round_robin_gradients},
          {"sub_group_size", zero.sub_group_size},
          {"stage3_prefetch_bucket_size", zero.prefetch_bucket_size},
          {"stage3_param_persistence_threshold", zero.persistence_threshold},
          {"stage3_max_live_parameters", zero.max_live_parameters},
          {"stage3_max_reuse_distance", zero.max_reuse_distance},
          {"ratio", zero.ratio}};
}

Json request_json(const Report& report) {
  Json object = Json::object();
  for (const auto& [name, value] : echo(report.request)) object[std::string(name)] = to_json(value);
  const Request& request = report.request;
  const bool stage3 = request.kind == StrategyKind::zero3;
  if (!request.deepspeed.empty() || !request.accelerate.empty()) {
    object["zero_optimization"] = zero_json(request.zero, stage3);
  }
  object["topology_name"] = report.topology_name;
  object["device_name"] = report.device_name;
  object["model_name"] = report.model.name;
  object["nodes"] = report.nodes;
  object["ranks"] = report.ranks;
  object["assumptions"] = report.assumptions;
  return object;
}

Json to_json(const ModelReport& model, double states_bytes_per_parameter) {
  return {{"parameters", model.parameters},
          {"trainable_parameters", model.trainable_parameters},
          {"layers", model.layers},
          {"flops_per_token", model.flops_per_token},
          {"states_bytes_per_parameter", states_bytes_per_parameter}};
}

Json range_json(const Report& report, Ranged quantity, std::int64_t bytes) {
  const auto range = range_of(report, quantity, static_cast<double>(bytes));
  if (!range) return nullptr;
  return {std::llround(range->first), std::llround(range->second)};
}

std::string_view word(Fit fit) {
  switch (fit) {
    case Fit::fits:
      return "fits";
    case Fit::tight:
      return "tight";
    case Fit::does_not_fit:
      break;
  }
  return "does not fit";
}

Json to_json(const DeviceReport& device) {
  Json phases = Json::array();
  for (const DevicePhase& phase : device.phases) {
    phases.push_back({{"phase", phase.phase},
                      {"peak_allocated_bytes", phase.peak_allocated_bytes},
                      {"peak_reserved_bytes", phase.peak_reserved_bytes},
                      {"peak_used_bytes", phase.peak_used_bytes},
                      {"peak_at", phase.peak_at}});
  }
  Json largest = Json::array();
  for (const auto& [name, bytes] : device.largest) largest.push_back({{"name", name}, {"bytes", bytes}});
  return {{"id", device.id},
          {"count", device.count},
          {"name", device.name},
          {"capacity_bytes", device.capacity_bytes},
          {"peak_allocated_bytes", device.peak_allocated_bytes},
          {"peak_reserved_bytes", device.peak_reserved_bytes},
          {"peak_used_bytes", device.peak_used_bytes},
          {"fits", device.fits},
          {"at_peak", to_json(device.at_peak)},
          {"peak_time_s", device.peak_time_s},
          {"peak_at", device.peak_at},
          {"largest", largest},
          {"phases", phases}};
}

Json to_json(const HostReport& host) {
  Json phases = Json::array();
  for (const HostPhase& phase : host.phases) {
    phases.push_back({{"phase", phase.phase}, {"peak_bytes", phase.peak_bytes}, {"pinned_bytes", phase.pinned_bytes}});
  }
  return {{"id", host.id},
          {"capacity_bytes", host.capacity_bytes},
          {"peak_bytes", host.peak_bytes},
          {"pinned_bytes", host.pinned_bytes},
          {"at_peak", to_json(host.at_peak)},
          {"fits", host.fits},
          {"count", host.count},
          {"phases", phases}};
}

Json to_json(const StorageReport& storage) {
  return {{"id", storage.id},
          {"capacity_bytes", storage.capacity_bytes},
          {"peak_bytes", storage.peak_bytes},
          {"read_bytes", storage.read_bytes},
          {"written_bytes", storage.written_bytes}};
}

Json to_json(const StepReport& step) {
  return {{"time_s", step.time_s},
          {"tokens", step.tokens},
          {"tokens_per_s", step.tokens_per_s},
          {"tokens_per_s_per_gpu", step.tokens_per_s_per_gpu},
          {"model_flops", step.model_flops},
          {"mfu", step.mfu},
          {"hfu", step.hfu},
          {"compute_s", step.compute_s},
          {"exposed_communication_s", step.exposed_communication_s},
          {"exposed_transfer_s", step.exposed_transfer_s},
          {"optimizer_s", step.optimizer_s},
          {"idle_s", step.idle_s}};
}

Json to_json(const LinkReport& link) {
  // Nothing but these kinds is promised; the sockets' interconnect carries what goes over PCIe.
  const std::string_view kind = link.kind == "interconnect" ? "pcie" : std::string_view(link.kind);
  return {{"id", link.id},       {"kind", kind},          {"bandwidth_Bps", link.bandwidth_Bps},
          {"bytes", link.bytes}, {"busy_s", link.busy_s}, {"utilization", link.utilization},
          {"count", link.count}};
}

Json to_json(const std::optional<RunReport>& run) {
  if (!run) return nullptr;
  return {{"steps", run->steps},
          {"hours", run->hours},
          {"gpu_hours", run->gpu_hours},
          {"energy_kWh", run->energy_kWh},
          {"cost_usd", run->cost_usd ? Json(*run->cost_usd) : Json()},
          {"tokens", run->tokens}};
}

Json to_json(const SaveReport& save) {
  return {{"peak_device_bytes", save.peak_device_bytes},
          {"peak_host_bytes", save.peak_host_bytes},
          {"time_s", save.time_s},
          {"fits", save.fits},
          {"written_bytes", save.written_bytes}};
}

template <class Entry>
Json array_of(const std::vector<Entry>& entries) {
  Json array = Json::array();
  for (const Entry& entry : entries) array.push_back(to_json(entry));
  return array;
}

}  // namespace

std::string render_json(const Report& report) {
  Json object;
  object["schema"] = "shardsim.report/1";
  object["request"] = request_json(report);
  object["fits"] = report.fits;
  object["model"] = to_json(report.model, report.states_bytes_per_parameter);
  object["devices"] = array_of(report.devices);
  for (std::size_t i = 0; i < report.devices.size(); ++i) {
    const DeviceReport& device = report.devices[i];
    Json& entry = object["devices"][i];
    entry["peak_allocated_range_bytes"] = range_json(report, Ranged::allocated_bytes, device.peak_allocated_bytes);
    entry["peak_reserved_range_bytes"] = range_json(report, Ranged::reserved_bytes, device.peak_reserved_bytes);
    entry["peak_used_range_bytes"] = range_json(report, Ranged::used_bytes, device.peak_used_bytes);
  }
  object["hosts"] = array_of(report.hosts);
  for (std::size_t i = 0; i < report.hosts.size(); ++i) {
    object["hosts"][i]["peak_range_bytes"] = range_json(report, Ranged::host_bytes, report.hosts[i].peak_bytes);
  }
  object["storage"] = array_of(report.storage);
  object["step"] = to_json(report.step);
  const auto time = range_of(report, Ranged::time, report.step.time_s);
  object["step"]["time_range_s"] = time ? Json{time->first, time->second} : Json();
  object["links"] = array_of(busiest_links(report.links, max_links));
  object["bottleneck"] = {{"resource", report.bottleneck.resource},
                          {"share_of_step", report.bottleneck.share_of_step},
                          {"why", report.bottleneck.why}};
  object["run"] = to_json(report.run);
  object["save"] = report.save ? to_json(*report.save) : Json();
  object["verdict"] = word(fit_of(report));
  object["warnings"] = report.warnings;
  // A path may hold bytes that are no UTF-8: they are shown as replaced, never a reason to fail.
  return json_text(object, 2) + "\n";
}

}  // namespace shardsim
