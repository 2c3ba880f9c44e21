#include <algorithm>
#include <array>
#include <vector>

#include "sim/report/make_report.hpp"

namespace shardsim {
namespace {

enum Part : std::uint8_t { compute, optimizer, communication, transfer, part_count };

Part part_of(const Task& task) {
  switch (task.kind) {
    case TaskKind::collective:
      return communication;
    case TaskKind::copy:
    case TaskKind::storage_io:
      return transfer;
    case TaskKind::cpu:
      return task.phase == Phase::optimizer ? optimizer : transfer;
    case TaskKind::compute:
    case TaskKind::rendezvous:
      break;
  }
  if (task.phase == Phase::optimizer) return optimizer;
  return task.stream.index() == 0 ? compute : communication;
}

struct Edge {
  Time instant;
  std::int8_t change;
  Part part;
};

bool is_before(const Edge& a, const Edge& b) { return a.instant < b.instant; }

/// Beginnings and ends inside the window, in time's order. Those of one stream come in it, because its tasks run one
/// after the other.
std::vector<Edge> edges_of(const Program& program, const ProgramOutcome& outcome, Time begin, Time end) {
  std::vector<std::vector<Edge>> of_stream(program.streams.size());
  for (std::size_t i = 0; i < program.tasks.size(); ++i) {
    if (program.tasks[i].kind == TaskKind::rendezvous) continue;  // waiting for others is idleness
    const Time from = std::max(outcome.spans[i].start, begin);
    const Time to = std::min(outcome.spans[i].end, end);
    if (from >= to) continue;
    const Part part = part_of(program.tasks[i]);
    std::vector<Edge>& edges = of_stream[program.tasks[i].stream.index()];
    edges.push_back({from, 1, part});
    edges.push_back({to, -1, part});
  }
  std::vector<Edge> all, merged;
  for (const std::vector<Edge>& edges : of_stream) {
    merged.resize(all.size() + edges.size());
    std::merge(all.begin(), all.end(), edges.begin(), edges.end(), merged.begin(), is_before);
    all.swap(merged);
  }
  return all;
}

}  // namespace

StepParts split_step(const Program& program, const ProgramOutcome& outcome, Time begin, Time length) {
  const Time end = begin + length;
  std::array<std::int32_t, part_count> running{};
  std::array<Time, part_count + 1> spent{};
  Time now = begin;
  const auto pass_until = [&](Time instant) {
    std::size_t part = 0;
    while (part < part_count && running[part] == 0) ++part;
    spent[part] += instant - now;
    now = instant;
  };
  for (const Edge& edge : edges_of(program, outcome, begin, end)) {
    if (edge.instant > now) pass_until(edge.instant);
    running[edge.part] += edge.change;
  }
  pass_until(end);
  return {spent[compute], spent[communication], spent[transfer], spent[optimizer], spent[part_count]};
}

}  // namespace shardsim
