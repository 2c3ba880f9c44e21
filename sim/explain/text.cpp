// For people at a terminal of 80 columns.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/explain/render.hpp"
#include "sim/report/notation.hpp"
#include "sim/report/verdict.hpp"

namespace shardsim {

namespace {

constexpr std::size_t text_width = 80;
constexpr std::size_t most_groups = 6;
constexpr std::size_t most_work = 12;

std::string gb(double bytes) {
  return std::abs(bytes) < 1e9 ? fmt::format("{:.1f} MB", bytes / 1e6) : fmt::format("{:.2f} GB", bytes / 1e9);
}
std::string gb(std::int64_t bytes) { return gb(static_cast<double>(bytes)); }

std::string life(const TensorGroup& group) {
  if (group.until.empty()) return group.since == "load" ? "resident all along" : "from " + group.since + " on, stays";
  return fmt::format("from {} to {}", group.since, group.until);
}

std::string sentence(const TensorGroup& group) {
  const std::string times = group.count > 1 ? fmt::format("{} x ", group.count) : "";
  const std::string each = group.arithmetic.empty()
                               ? fmt::format("{} B", grouped_digits(static_cast<double>(group.bytes_each)))
                               : group.arithmetic;
  return fmt::format("{}: {}{}{} = {}; {}{}", group.name, times, group.count > 1 ? "(" + each + ")" : each, "",
                     gb(group.bytes()), group.layers.empty() ? "" : group.layers + ", ", life(group));
}

std::string categories_text(const std::vector<CategoryExplanation>& categories) {
  std::string text;
  for (const CategoryExplanation& entry : categories) {
    text += fmt::format("\n{}: {} B = {}\n", name_of(entry.category), grouped_digits(static_cast<double>(entry.bytes)),
                        gb(entry.bytes));
    if (!entry.arithmetic.empty()) text += wrapped("in all " + entry.arithmetic, "  ", "    ", text_width);
    for (std::size_t i = 0; i < std::min(most_groups, entry.groups.size()); ++i) {
      text += wrapped(sentence(entry.groups[i]), "  ", "    ", text_width);
    }
    if (entry.groups.size() > most_groups) {
      std::int64_t rest = 0;
      for (std::size_t i = most_groups; i < entry.groups.size(); ++i) rest += entry.groups[i].bytes();
      text += fmt::format("  {} more kinds: {}\n", entry.groups.size() - most_groups, gb(rest));
    }
    if (entry.rounding != 0)
      text += fmt::format("  rounding and kept blocks of the allocator: {}\n", gb(entry.rounding));
    if (!entry.rule.empty()) {
      text += wrapped(
          fmt::format("rule of thumb: {} = {} ({}); {}", entry.rule, gb(entry.rule_bytes), entry.source, entry.why),
          "  ", "    ", text_width);
    } else if (!entry.why.empty()) {
      text += wrapped(entry.why, "  ", "    ", text_width);
    }
    text += wrapped("allocated by " + entry.allocated_by, "  ", "    ", text_width);
  }
  return text;
}

std::string memory_text(const Explanation& explanation) {
  std::string text = fmt::format("Memory of the fullest device at its peak: {}\n", explanation.peak_at) +
                     categories_text(explanation.memory) + "\nLargest tensors then\n";
  for (const TensorGroup& group : explanation.largest) {
    text += wrapped(fmt::format("{:>10} {}{}{}", gb(group.bytes_each), group.name,
                                group.count > 1 ? fmt::format(", {} times", group.count) : "",
                                group.arithmetic.empty() ? "" : ": " + group.arithmetic),
                    "  ", "             ", text_width);
  }
  return text;
}

std::string host_text(const HostExplanation& host) {
  std::string text =
      "\n" + wrapped(fmt::format("RAM of {}{} at its peak: {} B = {}, pinned {}", host.id,
                                 host.count > 1 ? fmt::format(" and {} like it", host.count - 1) : "",
                                 grouped_digits(static_cast<double>(host.bytes)), gb(host.bytes), gb(host.pinned)),
                     "", "  ", text_width);
  if (!host.rule.empty()) {
    text +=
        wrapped(fmt::format("rule of thumb: {} = {} ({}); {}", host.rule, gb(host.rule_bytes), host.source, host.why),
                "  ", "    ", text_width);
  }
  return text + categories_text(host.memory);
}

std::string time_text(const Explanation& explanation) {
  const StepReport& step = explanation.report.step;
  std::string text = fmt::format(
      "\nStep of {}: compute {}, exposed communication {}, exposed transfers {}, optimizer {}, idle {}\n",
      duration_text(step.time_s), duration_text(step.compute_s), duration_text(step.exposed_communication_s),
      duration_text(step.exposed_transfer_s), duration_text(step.optimizer_s), duration_text(step.idle_s));
  text = wrapped(text.substr(1, text.size() - 2), "\n", "  ", text_width);
  if (!explanation.time_rule.empty()) {
    text += wrapped(fmt::format("rule of thumb: {} = {}, at full speed and with nothing else to do; MFU {}",
                                explanation.time_rule, duration_text(explanation.time_rule_s), percent_text(step.mfu)),
                    "  ", "    ", text_width);
  }
  text += "\n  what runs, on its stream, overlapped or not\n";
  for (std::size_t i = 0; i < std::min(most_work, explanation.work.size()); ++i) {
    const WorkGroup& work = explanation.work[i];
    text += fmt::format("  {:>10}  {:<14} {:>6} x {} ({})\n", duration_text(work.seconds), name_of(work.phase),
                        work.count, work.name, work.stream);
  }
  const Bottleneck& bottleneck = explanation.report.bottleneck;
  text += "\n" + wrapped(fmt::format("Bound by {}, {} of the step: {}", bottleneck.resource,
                                     percent_text(bottleneck.share_of_step), bottleneck.why),
                         "", "  ", text_width);
  text += "  twice as fast would give a step of\n";
  for (const Doubled& doubled : explanation.doubled) {
    text += fmt::format("  {:>10}  {:>6}  {}\n", duration_text(doubled.step_s),
                        fmt::format("{:+.1f} %", 100 * (doubled.step_s / step.time_s - 1)), doubled.what);
  }
  return text;
}

}  // namespace

std::string render_text(const Explanation& explanation) {
  std::string hosts;
  for (const HostExplanation& host : explanation.hosts) hosts += host_text(host);
  return verdict(explanation.report).headline + "\n" +
         wrapped(scenario_line(explanation.report), "", "  ", text_width) + "\n" + memory_text(explanation) + hosts +
         time_text(explanation);
}

}  // namespace shardsim
