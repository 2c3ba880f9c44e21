#include "sim/report/bottleneck.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "sim/cost/constants.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {
namespace {

// Of the links that this program's last-step transfers of these kinds use, the one whose capacity they fill most.
const PlanLink* busiest_link(const Plan& plan, const Program& program, const Outcome& outcome,
                             std::initializer_list<TaskKind> kinds) {
  std::set<std::uint32_t> used;
  for (const Task& task : program.tasks) {
    if (std::find(kinds.begin(), kinds.end(), task.kind) == kinds.end()) continue;
    if (task.step + 1 != plan.steps || task.phase == Phase::save || !task.transfer.valid()) continue;
    const Transfer& transfer = plan.transfers[task.transfer.index()];
    for (std::uint32_t u = transfer.uses_begin; u < transfer.uses_end; ++u) used.insert(plan.uses[u].link);
  }
  const PlanLink* busiest = nullptr;
  double most = 0;
  for (const std::uint32_t l : used) {
    const double seconds = outcome.links[l].bytes / plan.links[l].capacity;
    if (seconds <= most) continue;
    most = seconds;
    busiest = &plan.links[l];
  }
  return busiest;
}

std::string name_of_link(const PlanLink* link) {
  if (link == nullptr) return "latency";
  return fmt::format("{} {}", name_of(static_cast<LinkKind>(link->kind)), link->id);
}

// True where cores, not DRAM, bound the CPU optimizer: its ranks together ask for less than such loops reach of the
// memory's bandwidth.
bool is_bound_by_cores(const Plan& plan, const Program& program) {
  for (auto task = program.tasks.rbegin(); task != program.tasks.rend(); ++task) {
    if (task->kind != TaskKind::cpu || task->phase != Phase::optimizer) continue;
    const Transfer& transfer = plan.transfers[task->transfer.index()];
    const TransferUse& memory = plan.uses[transfer.uses_begin];
    const PlanLink& link = plan.links[memory.link];
    return transfer.limit * memory.share < 0.99 * cost_constants().cpu_optimizer_bandwidth_fraction * link.capacity;
  }
  return false;
}

bool takes_turns(const Program& program) {
  return std::any_of(program.tasks.begin(), program.tasks.end(),
                     [](const Task& task) { return task.kind == TaskKind::rendezvous; });
}

bool runs_on_cpu(const Program& program) {
  return std::any_of(program.tasks.begin(), program.tasks.end(),
                     [](const Task& task) { return task.kind == TaskKind::cpu && task.phase == Phase::optimizer; });
}

}  // namespace

Bottleneck find_bottleneck(const Plan& plan, const Program& program, const Outcome& outcome, const StepParts& parts) {
  const double whole = outcome.step_time.seconds();
  Bottleneck found;
  const auto consider = [&](Time part, const auto& describe) {
    const double share = whole > 0 ? part.seconds() / whole : 0;
    if (!found.resource.empty() && share <= found.share_of_step) return;
    found.share_of_step = share;
    describe();
  };
  consider(parts.compute, [&] {
    found.resource = "compute";
    found.why = "the GPU's own kernels take most of the step; transfers mostly hide behind them";
  });
  consider(parts.communication, [&] {
    const PlanLink* link = busiest_link(plan, program, outcome, {TaskKind::collective});
    found.resource = name_of_link(link);
    found.why = link == nullptr ? "collectives are so small that their latency dominates"
                                : fmt::format("collectives over {} at {:.1f} GB/s are not hidden by compute", link->id,
                                              link->capacity / 1e9);
  });
  consider(parts.transfer, [&] {
    const PlanLink* link = busiest_link(plan, program, outcome, {TaskKind::copy, TaskKind::storage_io});
    found.resource = name_of_link(link);
    found.why = link == nullptr ? "copies to and from the host are so small that their latency dominates"
                : static_cast<LinkKind>(link->kind) == LinkKind::nvme
                    ? fmt::format("reads and writes of the drives over {} at {:.1f} GB/s are not hidden by compute",
                                  link->id, link->capacity / 1e9)
                    : fmt::format("copies between GPU and host over {} at {:.1f} GB/s are not hidden by compute",
                                  link->id, link->capacity / 1e9);
  });
  consider(parts.optimizer, [&] {
    if (!runs_on_cpu(program)) {
      found.resource = "optimizer";
      found.why = "the optimizer step reads and writes all states once, at the speed of GPU memory";
    } else if (is_bound_by_cores(plan, program)) {
      found.resource = "cpu optimizer";
      found.why =
          "the CPU's cores update the offloaded optimizer states; too few of them a rank (--cpu-threads) to use all of "
          "DRAM's "
          "bandwidth";
    } else {
      found.resource = "cpu optimizer";
      found.why = "the CPU updates the offloaded optimizer states at the speed of host DRAM, and nothing overlaps it";
    }
  });
  consider(parts.idle, [&] {
    if (takes_turns(program)) {
      found.resource = "other devices";
      found.why = "the devices work in turn, each on its own layers";
      return;
    }
    found.resource = "host launch";
    found.why = "the GPU waits for the host thread to launch work, or for a synchronisation";
  });
  return found;
}

}  // namespace shardsim
