#include "sim/engine/contention.hpp"

#include <algorithm>

namespace shardsim {

namespace {

/// When at least one collective of the program ran, in order and apart from each other.
std::vector<Span> collective_spans(const Program& program, const std::vector<Span>& spans) {
  std::vector<Span> found;
  for (std::size_t t = 0; t < spans.size(); ++t) {
    if (program.tasks[t].kind == TaskKind::collective && spans[t].end != never) found.push_back(spans[t]);
  }
  std::sort(found.begin(), found.end(), [](const Span& a, const Span& b) { return a.start < b.start; });
  std::vector<Span> merged;
  for (const Span& span : found) {
    if (!merged.empty() && span.start <= merged.back().end) {
      merged.back().end = std::max(merged.back().end, span.end);
    } else {
      merged.push_back(span);
    }
  }
  return merged;
}

/// The part of `span` in which collectives ran. `merged` is in order, and nothing of it before `from` ends after the
/// span's start; moves `from` on.
Time shared(const Span& span, const std::vector<Span>& merged, std::size_t& from) {
  while (from < merged.size() && merged[from].end <= span.start) ++from;
  Time sum;
  for (std::size_t i = from; i < merged.size() && merged[i].start < span.end; ++i) {
    sum += std::min(span.end, merged[i].end) - std::max(span.start, merged[i].start);
  }
  return sum;
}

}  // namespace

Delays contention(const Plan& plan, const Timeline& timeline) {
  Delays delays(plan.programs.size());
  bool any = false;
  for (std::size_t p = 0; p < plan.programs.size(); ++p) {
    const Program& program = plan.programs[p];
    const std::vector<Span>& spans = timeline.programs[p].spans;
    if (program.collective_slowdown == 0) continue;
    const std::vector<Span> merged = collective_spans(program, spans);
    if (merged.empty()) continue;
    delays[p].resize(program.tasks.size());
    std::vector<std::size_t> from(program.streams.size());  // tasks of one stream start in order
    for (std::size_t t = 0; t < program.tasks.size(); ++t) {
      if (program.tasks[t].kind != TaskKind::compute || spans[t].end == never) continue;
      const Time beside = shared(spans[t], merged, from[program.tasks[t].stream.index()]);
      if (beside == Time{}) continue;
      delays[p][t] = Time::from_seconds(program.collective_slowdown * beside.seconds());
      any = true;
    }
  }
  if (!any) delays.clear();
  return delays;
}

}  // namespace shardsim
