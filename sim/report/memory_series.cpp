#include "sim/report/memory_series.hpp"

#include <algorithm>
#include <numeric>

#include "sim/engine/ledger.hpp"

namespace shardsim {

std::int64_t MemoryLevel::total() const {
  return std::accumulate(by_category.begin(), by_category.end(), std::int64_t{0});
}

std::vector<MemoryLevel> device_levels(const Program& program, const ProgramOutcome& outcome) {
  std::vector<MemoryLevel> levels;
  MemoryLevel now;
  for (const DeviceEvent& event : replay_device_events(program, outcome.spans, outcome.instants)) {
    using Kind = DeviceEvent::Kind;
    const bool more = event.kind == Kind::allocate || event.kind == Kind::take_segment;
    const std::int64_t change = more ? event.size : -event.size;
    if (event.tensor.valid()) {
      now.by_category[static_cast<std::size_t>(program.tensors[event.tensor.index()].category)] += change;
    } else {
      now.reserved += change;
    }
    now.instant = outcome.instants[event.instruction];
    now.instruction = event.instruction;
    levels.push_back(now);
  }
  return levels;
}

std::vector<MemoryLevel> host_levels(const Plan& plan, const Outcome& outcome, std::size_t host_class) {
  std::vector<MemoryLevel> changes;  // what one event changes, for all ranks of its program together
  for (std::size_t p = 0; p < plan.programs.size(); ++p) {
    const Program& program = plan.programs[p];
    if (program.host_class != host_class) continue;
    HostLevel before;
    for (const HostLevel& level :
         replay_host_memory(program, memory_script(program, plan.steps), outcome.programs[p].instants)) {
      MemoryLevel change;
      change.instant = level.instant;
      change.program = p;
      change.instruction = level.instruction;
      change.reserved = (level.pinned - before.pinned) * program.ranks_per_host;
      for (std::size_t c = 0; c < category_count; ++c) {
        change.by_category[c] = (level.by_category[c] - before.by_category[c]) * program.ranks_per_host;
      }
      changes.push_back(change);
      before = level;
    }
  }
  std::stable_sort(changes.begin(), changes.end(),
                   [](const MemoryLevel& a, const MemoryLevel& b) { return a.instant < b.instant; });
  std::vector<MemoryLevel> levels;
  MemoryLevel now;
  for (const MemoryLevel& change : changes) {
    now.instant = change.instant;
    now.program = change.program;
    now.instruction = change.instruction;
    now.reserved += change.reserved;
    for (std::size_t c = 0; c < category_count; ++c) now.by_category[c] += change.by_category[c];
    levels.push_back(now);
  }
  return levels;
}

}  // namespace shardsim
