#include "sim/report/run_trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "sim/report/group_name.hpp"
#include "sim/report/link_rates.hpp"
#include "sim/report/memory_series.hpp"
#include "sim/report/phases.hpp"

namespace shardsim {

namespace {

std::string_view name_of(TaskKind kind) {
  switch (kind) {
    case TaskKind::compute:
      return "compute";
    case TaskKind::copy:
      return "copy";
    case TaskKind::collective:
      return "collective";
    case TaskKind::cpu:
      return "cpu";
    case TaskKind::storage_io:
      return "storage";
    case TaskKind::rendezvous:
      return "rendezvous";
  }
  return "";
}

std::string where_of(const Plan& plan, const Task& task) {
  return describe(plan, Mark{task.phase, task.step, task.layer, {}});
}

TraceSlice slice_of(const Plan& plan, const Task& task, const Span& span) {
  TraceSlice slice;
  slice.name = task.label.valid() ? plan.labels[task.label.index()] : std::string(name_of(task.kind));
  slice.category = name_of(task.kind);
  slice.where = where_of(plan, task);
  slice.begin = span.start;
  slice.end = span.end;
  if (task.transfer.valid()) slice.bytes = plan.transfers[task.transfer.index()].bytes;
  return slice;
}

/// Where each task of a program stands among the tracks; nowhere if it took no time.
using Places = std::vector<std::optional<TraceFlow::End>>;

Places add_streams(TraceProcess& process, const Plan& plan, const Program& program, const ProgramOutcome& outcome) {
  for (const std::string& stream : program.streams) process.tracks.push_back({stream, {}});
  Places places(program.tasks.size());
  for (std::size_t t = 0; t < program.tasks.size(); ++t) {
    const Span& span = outcome.spans[t];
    if (span.end == never || span.end <= span.start) continue;
    std::vector<TraceSlice>& slices = process.tracks[program.tasks[t].stream.index()].slices;
    places[t] = TraceFlow::End{program.tasks[t].stream.index(), slices.size()};
    slices.push_back(slice_of(plan, program.tasks[t], span));
  }
  return places;
}

void add_flows(RunTrace& trace, const Program& program, const Places& places) {
  for (std::size_t t = 0; t < program.tasks.size(); ++t) {
    const Task& task = program.tasks[t];
    for (std::uint32_t w = task.waits_begin; places[t] && w < task.waits_end; ++w) {
      const auto& before = places[program.waits[w].index()];
      if (before && before->track != places[t]->track) {
        trace.flows.push_back({trace.processes.size(), *before, *places[t]});
      }
    }
  }
}

/// Where the host thread stands in the program, and where it waits for a task.
void add_host_thread(TraceProcess& process, const Plan& plan, const Program& program, const ProgramOutcome& outcome) {
  TraceTrack stands{"host thread", {}}, waits{"host thread waits", {}};
  Time before;
  const auto end_last = [&](Time end) {
    if (stands.slices.empty()) return;
    stands.slices.back().end = end;
    if (end <= stands.slices.back().begin) stands.slices.pop_back();
  };
  for (std::size_t i = 0; i < outcome.instants.size(); ++i) {
    const Instruction instruction = program.instructions[i];
    const Time now = outcome.instants[i];
    if (instruction.kind == Instruction::Kind::mark) {
      const std::string name = describe(plan, program.marks[instruction.index]);
      if (stands.slices.empty() || stands.slices.back().name != name) {
        end_last(now);
        stands.slices.push_back({name, "phase", name, now, now, 0});
      }
    } else if (instruction.kind == Instruction::Kind::synchronize && now > before) {
      TraceSlice wait = slice_of(plan, program.tasks[instruction.index], {before, now});
      wait.name = "waits for " + wait.name;
      wait.category = "synchronize";
      waits.slices.push_back(std::move(wait));
    }
    before = now;
  }
  end_last(before);
  process.tracks.push_back(std::move(stands));
  if (!waits.slices.empty()) process.tracks.push_back(std::move(waits));
}

/// A sample for each instant, the last of those that fall together.
template <class Values>
TraceCounter counter_of(const std::vector<MemoryLevel>& levels, std::string name, std::vector<std::string> series,
                        Values values) {
  TraceCounter counter{std::move(name), "bytes", std::move(series), {}};
  for (const MemoryLevel& level : levels) {
    if (counter.samples.empty() || counter.samples.back().instant < level.instant) {
      counter.samples.push_back({level.instant, {}});
    }
    counter.samples.back().values = values(level);
  }
  return counter;
}

/// Memory by the categories that occur, and beside it what `MemoryLevel::reserved` is called.
void add_memory(TraceProcess& process, const std::vector<MemoryLevel>& levels, const std::string& reserved) {
  if (levels.empty()) return;
  std::vector<std::size_t> categories;
  std::vector<std::string> names;
  for (std::size_t c = 0; c < category_count; ++c) {
    const auto occurs = [&](const MemoryLevel& level) { return level.by_category[c] != 0; };
    if (std::none_of(levels.begin(), levels.end(), occurs)) continue;
    categories.push_back(c);
    names.emplace_back(shardsim::name_of(static_cast<Category>(c)));
  }
  process.counters.push_back(counter_of(levels, "memory", names, [&](const MemoryLevel& level) {
    std::vector<double> values;
    for (const std::size_t c : categories) values.push_back(static_cast<double>(level.by_category[c]));
    return values;
  }));
  process.counters.push_back(counter_of(levels, reserved, {reserved}, [](const MemoryLevel& level) {
    return std::vector{static_cast<double>(level.reserved)};
  }));
}

TraceProcess links_process(const Plan& plan, const Outcome& outcome) {
  TraceProcess process{"links", {}, {}};
  const std::vector<std::vector<RateSample>> rates = link_rates(plan, outcome);
  for (std::size_t l = 0; l < rates.size(); ++l) {
    if (rates[l].empty()) continue;
    const PlanLink& link = plan.links[l];
    std::string name = fmt::format("{} {}", shardsim::name_of(static_cast<LinkKind>(link.kind)), link.id);
    if (link.count > 1) name += fmt::format(" (each of {})", link.count);
    TraceCounter counter{name, "GB/s", {"rate"}, {}};
    for (const RateSample& sample : rates[l]) counter.samples.push_back({sample.instant, {sample.rate / 1e9}});
    process.counters.push_back(std::move(counter));
  }
  return process;
}

}  // namespace

RunTrace make_run_trace(const Plan& plan, const Topology& topology, const Outcome& outcome) {
  RunTrace trace;
  for (std::size_t p = 0; p < plan.programs.size(); ++p) {
    const Program& program = plan.programs[p];
    const std::string& device = topology.devices[program.devices.front()].spec.name;
    TraceProcess process{fmt::format("{} ({})", group_name(topology, program), device), {}, {}};
    add_flows(trace, program, add_streams(process, plan, program, outcome.programs[p]));
    add_host_thread(process, plan, program, outcome.programs[p]);
    add_memory(process, device_levels(program, outcome.programs[p]), "reserved");
    trace.processes.push_back(std::move(process));
  }
  for (std::size_t h = 0; h < plan.host_classes.size(); ++h) {
    const HostClass& host = plan.host_classes[h];
    TraceProcess process{host.count > 1 ? fmt::format("{} (each of {})", host.id, host.count) : host.id, {}, {}};
    add_memory(process, host_levels(plan, outcome, h), "pinned");
    trace.processes.push_back(std::move(process));
  }
  trace.processes.push_back(links_process(plan, outcome));
  return trace;
}

}  // namespace shardsim
