#include "sim/report/make_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/core/checked.hpp"
#include "model/operators.hpp"
#include "sim/cost/kernel_time.hpp"
#include "sim/plan/strategies/strategies.hpp"
#include "sim/plan/strategy.hpp"
#include "sim/report/bottleneck.hpp"
#include "sim/report/phases.hpp"
#include "sim/report/run.hpp"

namespace shardsim {
namespace {

constexpr std::size_t most_entries = 64;  // beyond this, equal devices and links share an entry

Breakdown breakdown(const std::array<std::int64_t, category_count>& by_category) {
  Breakdown result;
  for (std::size_t c = 0; c < category_count; ++c) {
    if (by_category[c] != 0) result.emplace_back(static_cast<Category>(c), by_category[c]);
  }
  return result;
}

// Weights, gradients and optimizer states of one parameter before any sharding, as an average over base and adapter:
// what is frozen has weights alone. ZeRO's optimizer sees what is trained as one flat tensor.
double states_bytes(const Request& request, const Architecture& architecture) {
  const DType weight = weight_type(request.precision);
  const bool has_master = keeps_master_weights(request.precision);
  const DType updated = has_master ? DType::f32 : weight;
  const bool flat = is_zero(request.kind);
  const std::vector<OptimizedTensor> tensors =
      flat ? std::vector{flat_partition(architecture.trainable_count(), updated)}
           : optimized_parameters(architecture, updated);
  const std::int64_t trained = 2 * size_of(weight) + (has_master ? 4 : 0);
  std::int64_t bytes = trained * architecture.trainable_count() + state_bytes(request.optimizer, tensors);
  for (const Parameter& parameter : architecture.parameters) {
    if (!parameter.trainable) bytes += parameter.stored_bytes(weight);
  }
  return static_cast<double>(bytes) / static_cast<double>(architecture.parameter_count());
}

std::string id_range(const std::string& first, const std::string& last) {
  return first == last ? first : first + "-" + last;
}

DeviceReport device_report(const Topology& topology, const Plan& plan, const Program& program,
                           const ProgramOutcome& outcome) {
  const Device& device = topology.devices[program.devices.front()];
  DeviceReport report;
  report.name = device.spec.name;
  if (device.speed < 1) report.name += fmt::format(" at {} of its speed", device.speed);
  report.capacity_bytes = program.capacity_bytes;
  report.peak_allocated_bytes = outcome.device.allocated;
  report.peak_reserved_bytes = outcome.device.reserved;
  report.peak_used_bytes = program.used_bytes(outcome.device.reserved);
  report.fits = report.peak_used_bytes <= report.capacity_bytes;
  report.at_peak = breakdown(outcome.device.by_category);
  report.peak_time_s = outcome.device.instant.seconds();
  report.peak_at = describe(plan, program.marks[outcome.device.mark]);
  for (const TensorId id : outcome.device.largest) {
    const Tensor& tensor = program.tensors[id.index()];
    std::string name = plan.labels[tensor.label.index()];
    if (tensor.layer >= 0) name += fmt::format(", layer {}", tensor.layer);
    report.largest.emplace_back(std::move(name), tensor.bytes);
  }
  report.phases = device_phases(plan, program, outcome);
  return report;
}

void add_devices(Report& report, const Topology& topology, const Plan& plan, const Outcome& outcome) {
  const bool apart = topology.devices.size() <= most_entries;
  std::vector<std::pair<std::uint32_t, DeviceReport>> entries;
  for (std::size_t p = 0; p < plan.programs.size(); ++p) {
    const Program& program = plan.programs[p];
    DeviceReport entry = device_report(topology, plan, program, outcome.programs[p]);
    report.fits = report.fits && entry.fits;
    if (!apart) {
      entry.count = static_cast<std::int64_t>(program.devices.size());
      entry.id = id_range(topology.name_of(DeviceId(program.devices.front())),
                          topology.name_of(DeviceId(program.devices.back())));
      entries.emplace_back(program.devices.front(), std::move(entry));
      continue;
    }
    for (const std::uint32_t device : program.devices) {
      entry.id = topology.name_of(DeviceId(device));
      entries.emplace_back(device, entry);
    }
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [device, entry] : entries) report.devices.push_back(std::move(entry));
}

void add_hosts(Report& report, const Topology& topology, const PlannedRun& run, const Outcome& outcome) {
  const bool apart = topology.hosts.size() <= most_entries;
  std::vector<std::pair<std::size_t, HostReport>> entries;
  for (std::size_t h = 0; h < run.plan.host_classes.size(); ++h) {
    const HostClass& host = run.plan.host_classes[h];
    const HostOutcome& seen = outcome.hosts[h];
    const std::vector<HostId>& members = run.fold.hosts[h];
    HostReport entry;
    entry.capacity_bytes = host.memory_bytes;
    entry.peak_bytes = seen.peak;
    entry.pinned_bytes = seen.pinned_peak;
    entry.at_peak = breakdown(seen.by_category);
    entry.fits = entry.peak_bytes <= entry.capacity_bytes;
    entry.phases = host_phases(run.plan, seen);
    report.fits = report.fits && entry.fits;
    if (!apart) {
      entry.count = static_cast<std::int64_t>(members.size());
      entry.id = id_range(topology.name_of(members.front()), topology.name_of(members.back()));
      entries.emplace_back(members.front().index(), std::move(entry));
      continue;
    }
    for (const HostId member : members) {
      entry.id = topology.name_of(member);
      entries.emplace_back(member.index(), entry);
    }
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [host, entry] : entries) report.hosts.push_back(std::move(entry));
}

// Drives on which something lies; a volume is one of a host.
void add_storage(Report& report, const Topology& topology, const PlannedRun& run, const Outcome& outcome) {
  for (const Storage& volume : topology.storages) {
    const std::size_t h = run.fold.class_of_host[volume.host.index()].index();
    if (outcome.hosts[h].storage_peak == 0) continue;
    StorageReport entry{volume.id, volume.capacity.value(), outcome.hosts[h].storage_peak, 0, 0};
    for (const Program& program : run.plan.programs) {
      if (program.host_class != h) continue;
      const double ranks = program.ranks_per_host;
      entry.read_bytes += checked_whole(std::round(program.storage_read) * ranks, "bytes read");
      entry.written_bytes += checked_whole(std::round(program.storage_written) * ranks, "bytes written");
    }
    report.fits = report.fits && entry.peak_bytes <= entry.capacity_bytes;
    report.storage.push_back(std::move(entry));
  }
}

void add_links(Report& report, const Topology& topology, const PlannedRun& run, const Outcome& outcome) {
  const bool apart = topology.devices.size() <= most_entries;
  const double seconds = outcome.step_time.seconds();
  for (std::size_t l = 0; l < run.plan.links.size(); ++l) {
    if (outcome.links[l].bytes <= 0) continue;
    const PlanLink& link = run.plan.links[l];
    LinkReport entry;
    entry.kind = std::string(name_of(static_cast<LinkKind>(link.kind)));
    entry.bandwidth_Bps = link.bandwidth;
    entry.bytes = checked_whole(outcome.links[l].bytes, "bytes over a link");
    entry.busy_s = outcome.links[l].busy.seconds();
    entry.utilization = seconds > 0 ? outcome.links[l].bytes / (link.bandwidth * seconds) : 0;
    if (!apart) {
      entry.id = link.id;
      entry.count = link.count;
      report.links.push_back(std::move(entry));
      continue;
    }
    for (const LinkId member : run.fold.members(LinkClassId(l))) {
      entry.id = topology.name_of(member);
      report.links.push_back(entry);
    }
  }
  std::stable_sort(report.links.begin(), report.links.end(),
                   [](const LinkReport& a, const LinkReport& b) { return a.utilization > b.utilization; });
}

void add_step(Report& report, const Topology& topology, const PlannedRun& run, const Outcome& outcome,
              const StepParts& parts) {
  const Request& request = report.request;
  StepReport& step = report.step;
  step.time_s = outcome.step_time.seconds();
  const std::int64_t of_micro_step = checked_product(request.seq_len, request.micro_batch, "tokens of a micro-step");
  step.tokens = checked_product(checked_product(of_micro_step, request.grad_accum, "tokens of a step"), report.ranks,
                                "tokens of a step");
  step.compute_s = parts.compute.seconds();
  step.exposed_communication_s = parts.communication.seconds();
  step.exposed_transfer_s = parts.transfer.seconds();
  step.optimizer_s = parts.optimizer.seconds();
  step.idle_s = parts.idle.seconds();
  step.model_flops = report.model.flops_per_token * static_cast<double>(step.tokens);
  if (step.time_s <= 0) return;
  step.tokens_per_s = static_cast<double>(step.tokens) / step.time_s;
  step.tokens_per_s_per_gpu = step.tokens_per_s / static_cast<double>(topology.devices.size());
  double peak = 0;
  for (const Device& device : topology.devices) {
    peak += matmul_peak(device.spec, compute_type(request.precision)).flops_per_second / device.speed;
  }
  if (peak <= 0) return;
  step.mfu = step.model_flops / (step.time_s * peak);
  // Model FLOPs count attention without the causal discount; recomputation is added in the same coin.
  if (run.executed_flops > 0) step.hfu = step.mfu * (run.executed_flops / (run.executed_flops - run.recomputed_flops));
}

void warn_of_emulated_type(Report& report, const Topology& topology) {
  if (compute_type(report.request.precision) != DType::bf16) return;
  for (const Device& device : topology.devices) {
    if (device.spec.has_bf16) continue;
    report.warnings.push_back(device.spec.name +
                              " has no bf16 arithmetic: bytes are right, but real kernels would be emulated and slow; "
                              "--precision fp16-mixed or fp32 runs natively");
    return;
  }
}

void warn_of_long_sequences(Report& report, const Architecture& architecture) {
  const Dimensions& dims = architecture.dims;
  // A position table would have refused them, and ALiBi knows no end.
  if (dims.alibi || dims.max_positions <= 0 || report.request.seq_len <= dims.max_positions) return;
  report.warnings.push_back(
      fmt::format("sequences of {} tokens are longer than the {} that {} is made for "
                  "(max_position_embeddings): memory and time hold, its answers may not",
                  report.request.seq_len, dims.max_positions, architecture.name));
}

}  // namespace

Report make_report(const Request& request, const Topology& topology, const Architecture& architecture,
                   const PlannedRun& run, const Outcome& outcome) {
  Report report;
  report.request = request;
  report.topology_name = topology.name;
  report.device_name = topology.devices.front().spec.name;
  report.nodes = static_cast<std::int64_t>(topology.hosts.size());
  report.ranks = data_parallel_ranks(request, static_cast<std::int64_t>(topology.devices.size()));
  report.model = {architecture.name, architecture.parameter_count(), architecture.trainable_count(),
                  architecture.dims.layers, model_flops_per_token(architecture, request.seq_len)};
  report.states_bytes_per_parameter = states_bytes(request, architecture);
  add_devices(report, topology, run.plan, outcome);
  add_hosts(report, topology, run, outcome);
  add_storage(report, topology, run, outcome);
  report.save = save_report(run.plan, outcome);
  const Program& slowest = run.plan.programs[outcome.slowest];
  const StepParts parts = split_step(slowest, outcome.programs[outcome.slowest], outcome.step_begin, outcome.step_time);
  add_step(report, topology, run, outcome, parts);
  add_links(report, topology, run, outcome);
  report.bottleneck = find_bottleneck(run.plan, slowest, outcome, parts);
  report.warnings = request.warnings;
  warn_of_emulated_type(report, topology);
  warn_of_long_sequences(report, architecture);
  report.assumptions = topology.assumptions;
  report.assumptions.insert(report.assumptions.end(), run.plan.assumptions.begin(), run.plan.assumptions.end());
  report.power_watts = power_of(topology);
  report.run = whole_run(request, topology, report.step, report.assumptions);
  return report;
}

}  // namespace shardsim
