#include "sim/plan/revalue.hpp"

#include <map>
#include <utility>

#include "sim/cost/kernel_time.hpp"

namespace shardsim {

namespace {

/// How long the graph's kernels take on one kind of device.
struct Durations {
  Durations(const GpuSpec& device, const GraphAmounts& amounts) : times(device) {
    for (const Kernel& kernel : amounts.kernels) of_kernel.push_back(times.of(kernel));
  }
  KernelTimes times;
  std::vector<Time> of_kernel;
};

void revalue(Program& program, const Provenance& provenance, const GraphAmounts& amounts, const Durations& durations) {
  for (const Provenance::Source& source : provenance.tensors) {
    program.tensors[source.index].bytes = amounts.bytes[source.amount];
  }
  for (const Provenance::Source& source : provenance.kernels) {
    program.tasks[source.index].duration = durations.of_kernel[amounts.kernel_of[source.amount]];
  }
  for (const Provenance::Source& source : provenance.sums) {
    program.tasks[source.index].duration = durations.times.of_bytes(gradient_sum_bytes(amounts.bytes[source.amount]));
  }
}

/// In the recorder's order: sums of doubles depend on it.
void count_flops(PlannedRun& run, const Provenance& provenance, const GraphAmounts& amounts) {
  double all = 0, again = 0, before = 0;
  auto range = provenance.recomputed.begin();
  auto other = provenance.other_flops.begin();
  for (std::size_t i = 0; i <= provenance.executed.size(); ++i) {
    for (; range != provenance.recomputed.end() && range->end == i; ++range) again += all - before;
    if (range != provenance.recomputed.end() && range->begin == i) before = all;
    if (i == provenance.executed.size()) break;
    const AmountId kernel = provenance.executed[i];
    all += kernel == own_amount ? *other++ : amounts.kernels[amounts.kernel_of[kernel]].flops;
  }
  run.executed_flops = all / run.plan.steps;
  run.recomputed_flops = again / run.plan.steps;
}

}  // namespace

void revalue(PlannedRun& run, const GraphAmounts& amounts, const Topology& topology) {
  std::map<std::pair<std::string, double>, Durations> by_device;
  for (std::size_t p = 0; p < run.plan.programs.size(); ++p) {
    const Device& device = topology.devices[run.plan.programs[p].devices.front()];
    const Durations& durations =
        by_device.try_emplace({device.spec.name, device.speed}, device.spec, amounts).first->second;
    revalue(run.plan.programs[p], run.provenance[p], amounts, durations);
  }
  count_flops(run, run.provenance.back(), amounts);
}

}  // namespace shardsim
