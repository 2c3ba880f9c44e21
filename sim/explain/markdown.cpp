// For issues and wikis: the explanation as headings and tables.
#include <fmt/format.h>

#include "sim/explain/render.hpp"
#include "sim/report/markdown_table.hpp"
#include "sim/report/notation.hpp"
#include "sim/report/verdict.hpp"

namespace shardsim {

namespace {

constexpr std::size_t most_groups = 6;
constexpr std::size_t most_work = 12;

std::string bytes_text(std::int64_t bytes) { return grouped_digits(static_cast<double>(bytes)); }

std::string life(const TensorGroup& group) {
  return group.until.empty() ? "from " + group.since + " on" : group.since + " to " + group.until;
}

void write_memory(const std::vector<CategoryExplanation>& categories, std::string& out) {
  for (const CategoryExplanation& entry : categories) {
    out += fmt::format("\n### {}: {} B\n\n", name_of(entry.category), bytes_text(entry.bytes));
    if (!entry.arithmetic.empty()) out += fmt::format("In all {}.\n\n", entry.arithmetic);
    MarkdownTable table(out);
    table.head({"tensors", "number", "each", "bytes", "layers", "alive"});
    for (std::size_t i = 0; i < std::min(most_groups, entry.groups.size()); ++i) {
      const TensorGroup& group = entry.groups[i];
      table.row({group.name, fmt::format("{}", group.count),
                 group.arithmetic.empty() ? bytes_text(group.bytes_each) + " B" : group.arithmetic,
                 bytes_text(group.bytes()), group.layers, life(group)});
    }
    std::int64_t rest = 0;
    for (std::size_t i = most_groups; i < entry.groups.size(); ++i) rest += entry.groups[i].bytes();
    if (rest > 0) {
      table.row({fmt::format("{} more kinds", entry.groups.size() - most_groups), "", "", bytes_text(rest), "", ""});
    }
    if (entry.rounding != 0)
      table.row({"rounding and kept blocks of the allocator", "", "", bytes_text(entry.rounding), "", ""});
    out += entry.rule.empty() ? fmt::format("\n{}.", entry.why)
                              : fmt::format("\nRule of thumb: {} = {} B ({}); {}.", entry.rule,
                                            grouped_digits(entry.rule_bytes), entry.source, entry.why);
    out += fmt::format(" Allocated by {}.\n", entry.allocated_by);
  }
}

void write_hosts(const Explanation& explanation, std::string& out) {
  for (const HostExplanation& host : explanation.hosts) {
    out += fmt::format("\n## RAM of {} at its peak: {} B, pinned {} B\n", host.id, bytes_text(host.bytes),
                       bytes_text(host.pinned));
    if (!host.rule.empty()) {
      out += fmt::format("\nRule of thumb: {} = {} B ({}); {}.\n", host.rule, grouped_digits(host.rule_bytes),
                         host.source, host.why);
    }
    write_memory(host.memory, out);
  }
}

void write_step(const Explanation& explanation, std::string& out) {
  const StepReport& step = explanation.report.step;
  out += fmt::format("\n## Step of {}\n", duration_text(step.time_s));
  if (!explanation.time_rule.empty()) {
    out += fmt::format("\nRule of thumb: {} = {}, at full speed and with nothing else to do; MFU {}.\n",
                       explanation.time_rule, duration_text(explanation.time_rule_s), percent_text(step.mfu));
  }
  out += "\n";
  MarkdownTable work(out);
  work.head({"what runs, overlapped or not", "phase", "stream", "number", "time"});
  for (std::size_t i = 0; i < std::min(most_work, explanation.work.size()); ++i) {
    const WorkGroup& group = explanation.work[i];
    work.row({group.name, std::string(name_of(group.phase)), group.stream, fmt::format("{}", group.count),
              duration_text(group.seconds)});
  }
  const Bottleneck& bottleneck = explanation.report.bottleneck;
  out += fmt::format("\nBound by {}, {} of the step: {}.\n\n", bottleneck.resource,
                     percent_text(bottleneck.share_of_step), bottleneck.why);
  MarkdownTable doubled(out);
  doubled.head({"twice as fast", "step", "change"});
  for (const Doubled& answer : explanation.doubled) {
    doubled.row(
        {answer.what, duration_text(answer.step_s), fmt::format("{:+.1f} %", 100 * (answer.step_s / step.time_s - 1))});
  }
}

}  // namespace

std::string render_markdown(const Explanation& explanation) {
  std::string out =
      fmt::format("# {}\n\n{}\n", verdict(explanation.report).headline, scenario_line(explanation.report));
  out += fmt::format("\n## Memory of the fullest device at its peak: {}\n", explanation.peak_at);
  write_memory(explanation.memory, out);
  out += "\n### Largest tensors then\n\n";
  MarkdownTable largest(out);
  largest.head({"tensor", "number", "each", "bytes each"});
  for (const TensorGroup& group : explanation.largest) {
    largest.row({group.name, fmt::format("{}", group.count), group.arithmetic, bytes_text(group.bytes_each)});
  }
  write_hosts(explanation, out);
  write_step(explanation, out);
  return out;
}

}  // namespace shardsim
