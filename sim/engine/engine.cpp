#include "sim/engine/engine.hpp"

#include <algorithm>
#include <utility>

#include "sim/engine/check_plan.hpp"
#include "sim/engine/contention.hpp"
#include "sim/engine/deadlock.hpp"
#include "sim/engine/event_loop.hpp"
#include "sim/engine/host_peak.hpp"
#include "sim/engine/ledger.hpp"

namespace shardsim {

namespace {

/// When the last task of each step was done (a step without tasks ends with the one before), and the last that saves.
struct Ends {
  std::vector<Time> steps;
  Time save;
};

Ends find_ends(const Program& program, const std::vector<Span>& spans, std::uint16_t steps) {
  Ends ends{std::vector<Time>(steps), {}};
  for (std::size_t t = 0; t < spans.size(); ++t) {
    if (spans[t].end == never) continue;
    Time& end = program.tasks[t].phase == Phase::save ? ends.save : ends.steps[program.tasks[t].step];
    end = std::max(end, spans[t].end);
  }
  for (std::size_t s = 1; s < steps; ++s) ends.steps[s] = std::max(ends.steps[s], ends.steps[s - 1]);
  return ends;
}

/// The last step's window: from where all programs have done the step before to where all have done the last.
void measure_step(Outcome& outcome, std::uint16_t steps) {
  Time end;
  for (std::uint32_t p = 0; p < outcome.programs.size(); ++p) {
    const std::vector<Time>& ends = outcome.programs[p].step_end;
    if (ends.back() > end) {
      end = ends.back();
      outcome.slowest = p;
    }
    if (steps > 1) outcome.step_begin = std::max(outcome.step_begin, ends[steps - 2u]);
  }
  outcome.step_time = end - outcome.step_begin;
}

/// What each link carried from `begin` to `end`: a transfer that lies partly outside counts with its part inside.
std::vector<LinkOutcome> measure_links(const Plan& plan, const std::vector<FlowSpan>& flows, Time begin, Time end) {
  std::vector<LinkOutcome> links(plan.links.size());
  std::vector<Time> busy_until(
      plan.links.size());  // flows come by begin, so the union of their spans grows to the right
  for (const FlowSpan& flow : flows) {
    const Time from = std::max(flow.begin, begin), to = std::min(flow.end, end);
    if (flow.end == never || to <= from) continue;
    const Transfer& transfer = plan.transfers[flow.transfer.index()];
    const double inside = (to - from).seconds() / (flow.end - flow.begin).seconds();
    for (std::uint32_t i = transfer.uses_begin; i < transfer.uses_end; ++i) {
      const TransferUse& use = plan.uses[i];
      links[use.link].bytes += transfer.bytes * use.share * inside;
      Time& until = busy_until[use.link];
      if (to > until) links[use.link].busy += to - std::max(from, until);
      until = std::max(until, to);
    }
  }
  return links;
}

}  // namespace

PreparedPlan prepare(const Plan& plan) {
  check_plan(plan);
  PreparedPlan prepared;
  for (const Program& program : plan.programs) prepared.memory.push_back(memory_script(program, plan.steps));
  prepared.forerunners = forerunners(plan, prepared.memory);
  return prepared;
}

Outcome run(const Plan& plan) { return run(plan, prepare(plan)); }

Outcome run(const Plan& plan, const PreparedPlan& prepared, MemoryCache* memory) {
  Timeline timeline = play(plan);
  if (const Delays delays = contention(plan, timeline); !delays.empty()) timeline = play(plan, delays);
  Outcome outcome;
  outcome.events = timeline.events;
  outcome.deadlock = find_deadlock(plan, timeline);

  const auto devices = replay_devices(plan, prepared.memory, prepared.forerunners, timeline, memory);
  std::vector<std::vector<HostLevel>> levels;
  Time saved;
  for (std::size_t p = 0; p < plan.programs.size(); ++p) {
    const MemoryScript& script = prepared.memory[p];
    ProgramOutcome& program = outcome.programs.emplace_back();
    program.spans = std::move(timeline.programs[p].spans);
    program.instants = std::move(timeline.programs[p].instants);
    Ends ends = find_ends(plan.programs[p], program.spans, plan.steps);
    program.step_end = std::move(ends.steps);
    saved = std::max(saved, ends.save);
    program.device_by_stage = device_peaks(*devices[p], script, program.instants);
    program.device = highest(program.device_by_stage);
    program.final_device_bytes = devices[p]->final_bytes;
    levels.push_back(replay_host_memory(plan.programs[p], script, program.instants));
  }
  for (std::size_t h = 0; h < plan.host_classes.size(); ++h) {
    std::vector<HostShare> shares;
    for (std::size_t p = 0; p < plan.programs.size(); ++p) {
      if (plan.programs[p].host_class == h) shares.push_back({levels[p], plan.programs[p].ranks_per_host});
    }
    outcome.hosts.push_back(host_peak(shares, stage_count(plan.steps)));
  }
  measure_step(outcome, plan.steps);
  const Time last_step = outcome.step_begin + outcome.step_time;
  outcome.save_time = std::max(saved, last_step) - last_step;
  outcome.links = measure_links(plan, timeline.flows, outcome.step_begin, last_step);
  outcome.flows = std::move(timeline.flows);
  return outcome;
}

}  // namespace shardsim
