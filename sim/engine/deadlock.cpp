#include "sim/engine/deadlock.hpp"

#include <algorithm>
#include <string>

namespace shardsim {

namespace {

std::string name_task(const Plan& plan, std::size_t program, std::size_t task) {
  const Program& p = plan.programs[program];
  const Task& t = p.tasks[task];
  std::string name = "task " + std::to_string(task);
  if (t.label.valid()) name += " '" + plan.labels[t.label.index()] + "'";
  if (t.layer >= 0) name += " of layer " + std::to_string(t.layer);
  return name + " on stream '" + p.streams[t.stream.index()] + "'";
}

/// Why a task that has arrived at its transfer does not end.
std::string name_transfer(const Plan& plan, const Timeline& timeline, TransferId id) {
  const Transfer& transfer = plan.transfers[id.index()];
  int arrived = 0;
  for (std::size_t p = 0; p < plan.programs.size(); ++p) {
    for (std::size_t t = 0; t < plan.programs[p].tasks.size(); ++t) {
      arrived += plan.programs[p].tasks[t].transfer == id && timeline.programs[p].spans[t].start != never;
    }
  }
  if (arrived < transfer.participants) {
    return "waits for partners: " + std::to_string(arrived) + " of " + std::to_string(transfer.participants) +
           " have arrived";
  }
  for (std::uint32_t i = transfer.uses_begin; i < transfer.uses_end; ++i) {
    const PlanLink& link = plan.links[plan.uses[i].link];
    if (link.capacity == 0) return "waits for link '" + link.id + "', which carries nothing";
  }
  return "waits for links that others fill for ever";
}

/// The stuck task at the head of each stream, with its reason. `reached` bounds what the host thread launched.
void name_streams(const Plan& plan, const Timeline& timeline, std::size_t p, std::vector<std::string>& waiting) {
  const Program& program = plan.programs[p];
  const Trace& trace = timeline.programs[p];
  std::vector<bool> named(program.streams.size());
  for (std::size_t i = 0; i < trace.instants.size(); ++i) {
    if (program.instructions[i].kind != Instruction::Kind::launch) continue;
    const std::size_t t = program.instructions[i].index;
    const Task& task = program.tasks[t];
    if (trace.spans[t].end != never || named[task.stream.index()]) continue;
    named[task.stream.index()] = true;
    std::string line = "program " + std::to_string(p) + ": " + name_task(plan, p, t) + " ";
    if (trace.spans[t].start != never) {
      line += name_transfer(plan, timeline, task.transfer);
    } else {
      const auto first = program.waits.begin() + task.waits_begin, last = program.waits.begin() + task.waits_end;
      const auto wait = std::find_if(first, last, [&](TaskId w) { return trace.spans[w.index()].end == never; });
      line += "waits for " + name_task(plan, p, wait->index());
    }
    waiting.push_back(std::move(line));
  }
}

}  // namespace

std::vector<Deadlock> find_deadlock(const Plan& plan, const Timeline& timeline) {
  if (timeline.complete) return {};
  Deadlock deadlock;
  for (std::size_t p = 0; p < plan.programs.size(); ++p) {
    const Program& program = plan.programs[p];
    const Trace& trace = timeline.programs[p];
    const bool done = std::all_of(trace.spans.begin(), trace.spans.end(), [](const Span& s) { return s.end != never; });
    if (!done) name_streams(plan, timeline, p, deadlock.waiting);
    if (trace.instants.size() == program.instructions.size()) continue;
    const std::size_t task = program.instructions[trace.instants.size()].index;
    deadlock.waiting.push_back("program " + std::to_string(p) + ": the host thread waits for " +
                               name_task(plan, p, task));
  }
  return {std::move(deadlock)};
}

}  // namespace shardsim
