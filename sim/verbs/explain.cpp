// Where each byte and each second goes.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "model/core/error.hpp"
#include "sim/explain/explanation.hpp"
#include "sim/report/notation.hpp"
#include "sim/report/verdict.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

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

std::string memory_text(const Explanation& explanation) {
  std::string text = fmt::format("Memory of the fullest device at its peak: {}\n", explanation.peak_at);
  for (const CategoryExplanation& entry : explanation.memory) {
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
    if (entry.rounding != 0) text += fmt::format("  rounding of the allocator's blocks: {}\n", gb(entry.rounding));
    if (!entry.rule.empty()) {
      text += wrapped(
          fmt::format("rule of thumb: {} = {} ({}); {}", entry.rule, gb(entry.rule_bytes), entry.source, entry.why),
          "  ", "    ", text_width);
    } else if (!entry.why.empty()) {
      text += wrapped(entry.why, "  ", "    ", text_width);
    }
  }
  text += "\nLargest tensors then\n";
  for (const TensorGroup& group : explanation.largest) {
    text += wrapped(fmt::format("{:>10} {}{}{}", gb(group.bytes_each), group.name,
                                group.count > 1 ? fmt::format(", {} times", group.count) : "",
                                group.arithmetic.empty() ? "" : ": " + group.arithmetic),
                    "  ", "             ", text_width);
  }
  return text;
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
    text += fmt::format("  {:>10}  {:<9} {:>6} x {} ({})\n", duration_text(work.seconds), work.phase, work.count,
                        work.name, work.stream);
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

std::string render_text_explanation(const Explanation& explanation) {
  return verdict(explanation.report).headline + "\n" +
         wrapped(scenario_line(explanation.report), "", "  ", text_width) + "\n" + memory_text(explanation) +
         time_text(explanation);
}

nlohmann::ordered_json json_of(const TensorGroup& group) {
  return {{"name", group.name},     {"count", group.count},   {"bytes_each", group.bytes_each},
          {"bytes", group.bytes()}, {"layers", group.layers}, {"arithmetic", group.arithmetic},
          {"since", group.since},   {"until", group.until}};
}

std::string render_json_explanation(const Explanation& explanation) {
  nlohmann::ordered_json json;
  json["schema"] = "shardsim.explanation/1";
  json["fits"] = explanation.report.fits;
  json["peak_at"] = explanation.peak_at;
  json["memory"] = nlohmann::ordered_json::array();
  for (const CategoryExplanation& entry : explanation.memory) {
    nlohmann::ordered_json category;
    category["category"] = name_of(entry.category);
    category["bytes"] = entry.bytes;
    category["arithmetic"] = entry.arithmetic;
    category["groups"] = nlohmann::ordered_json::array();
    for (const TensorGroup& group : entry.groups) category["groups"].push_back(json_of(group));
    category["rounding_bytes"] = entry.rounding;
    category["rule"] = entry.rule;
    category["rule_bytes"] = entry.rule.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(entry.rule_bytes);
    category["why"] = entry.why;
    category["source"] = entry.source;
    json["memory"].push_back(std::move(category));
  }
  json["largest"] = nlohmann::ordered_json::array();
  for (const TensorGroup& group : explanation.largest) json["largest"].push_back(json_of(group));
  json["step"]["time_s"] = explanation.report.step.time_s;
  json["step"]["rule"] = explanation.time_rule;
  json["step"]["rule_s"] = explanation.time_rule_s;
  json["step"]["work"] = nlohmann::ordered_json::array();
  for (const WorkGroup& work : explanation.work) {
    json["step"]["work"].push_back({{"phase", work.phase},
                                    {"name", work.name},
                                    {"stream", work.stream},
                                    {"count", work.count},
                                    {"seconds", work.seconds}});
  }
  json["bottleneck"] = {{"resource", explanation.report.bottleneck.resource},
                        {"share_of_step", explanation.report.bottleneck.share_of_step}};
  json["twice_as_fast"] = nlohmann::ordered_json::array();
  for (const Doubled& doubled : explanation.doubled) {
    json["twice_as_fast"].push_back({{"what", doubled.what}, {"step_s", doubled.step_s}});
  }
  return json.dump(2) + "\n";
}

/// What two requests differ in, and what comes of it, term by term.
std::string render_comparison(const std::array<OptionTexts, 2>& options, const std::array<Report, 2>& reports) {
  std::string text = fmt::format("{:<36} {:>14} {:>14} {:>12}\n", "", "A", "B", "B - A");
  std::map<std::string, std::array<std::string, 2>> settings;
  for (std::size_t side = 0; side < 2; ++side) {
    for (const auto& [name, value] : options[side]) settings[name][side] = value.value;
  }
  for (const auto& [name, values] : settings) {
    if (values[0] != values[1]) {
      text += fmt::format("{:<36} {:>14} {:>14}\n", "--" + name, values[0].empty() ? "-" : values[0],
                          values[1].empty() ? "-" : values[1]);
    }
  }
  const auto amount = [&](const std::string& name, double a, double b, auto notation) {
    if (a == 0 && b == 0) return;
    const double change = b - a;
    text += fmt::format("{:<36} {:>14} {:>14} {:>12}\n", name, notation(a), notation(b),
                        (change < 0 ? "-" : "+") + notation(std::abs(change)));
  };
  const auto gib = [](double bytes) { return fmt::format("{:.2f} GiB", bytes / (1 << 30)); };
  const auto seconds = [](double time) { return duration_text(time); };
  const auto fullest = [](const Report& report) -> const DeviceReport& {
    return *std::max_element(
        report.devices.begin(), report.devices.end(),
        [](const DeviceReport& a, const DeviceReport& b) { return a.peak_allocated_bytes < b.peak_allocated_bytes; });
  };
  const DeviceReport &a = fullest(reports[0]), &b = fullest(reports[1]);
  text += fmt::format("memory at the peak: A in {}; B in {}\n", a.peak_at, b.peak_at);
  for (std::size_t c = 0; c < category_count; ++c) {
    const auto bytes = [&](const DeviceReport& device) {
      for (const auto& [category, held] : device.at_peak) {
        if (category == static_cast<Category>(c)) return static_cast<double>(held);
      }
      return 0.0;
    };
    amount("  " + std::string(name_of(static_cast<Category>(c))), bytes(a), bytes(b), gib);
  }
  amount("  allocated", static_cast<double>(a.peak_allocated_bytes), static_cast<double>(b.peak_allocated_bytes), gib);
  amount("  reserved", static_cast<double>(a.peak_reserved_bytes), static_cast<double>(b.peak_reserved_bytes), gib);
  amount("  used", static_cast<double>(a.peak_used_bytes), static_cast<double>(b.peak_used_bytes), gib);
  amount("host RAM", static_cast<double>(reports[0].hosts.front().peak_bytes),
         static_cast<double>(reports[1].hosts.front().peak_bytes), gib);
  const StepReport &x = reports[0].step, &y = reports[1].step;
  text += "step\n";
  amount("  compute", x.compute_s, y.compute_s, seconds);
  amount("  exposed communication", x.exposed_communication_s, y.exposed_communication_s, seconds);
  amount("  exposed transfers", x.exposed_transfer_s, y.exposed_transfer_s, seconds);
  amount("  optimizer", x.optimizer_s, y.optimizer_s, seconds);
  amount("  idle", x.idle_s, y.idle_s, seconds);
  amount("  whole", x.time_s, y.time_s, seconds);
  amount("tokens/s", x.tokens_per_s, y.tokens_per_s, [](double rate) { return grouped_digits(rate); });
  text += fmt::format("bound by: A {}; B {}\n", reports[0].bottleneck.resource, reports[1].bottleneck.resource);
  return text;
}

ExitStatus compare(const Command& command, std::size_t at) {
  const std::vector<std::string>& words = command.arguments;
  if (at + 2 >= words.size()) throw InputError("--compare takes two files", "explain", "--compare a.yaml b.yaml");
  std::vector<std::string> rest(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(at));
  rest.insert(rest.end(), words.begin() + static_cast<std::ptrdiff_t>(at) + 3, words.end());
  const DataFolders data = find_data(command.program);
  std::array<OptionTexts, 2> options;
  std::array<Report, 2> reports;
  for (std::size_t side = 0; side < 2; ++side) {
    std::vector<std::string> request{"--config", words[at + 1 + side]};
    request.insert(request.end(), rest.begin(), rest.end());
    options[side] = read_options(request);
    options[side].erase("config");
    reports[side] = simulate(resolve_request(options[side]), data);
  }
  write_result(render_comparison(options, reports), resolve_request(options[0]).output);
  return reports[0].fits && reports[1].fits ? ExitStatus::fits : ExitStatus::does_not_fit;
}

}  // namespace

ExitStatus run_explain(const Command& command) {
  const auto compared = std::find(command.arguments.begin(), command.arguments.end(), "--compare");
  if (compared != command.arguments.end()) {
    return compare(command, static_cast<std::size_t>(compared - command.arguments.begin()));
  }
  const Request request = parse_request(command.arguments);
  refuse_files_of_one_run(request, "explain");
  if (request.format == Format::csv || request.format == Format::html) {
    throw InputError("an explanation is no table and no page", "--format", "text, markdown or json");
  }
  const Explanation explanation = explain(request, load_scenario(request, find_data(command.program)));
  const std::string text = render_text_explanation(explanation);
  write_result(request.format == Format::json       ? render_json_explanation(explanation)
               : request.format == Format::markdown ? "```text\n" + text + "```\n"
                                                    : text,
               request.output);
  return explanation.report.fits ? ExitStatus::fits : ExitStatus::does_not_fit;
}

std::string explain_help() {
  return R"(Usage: shardsim explain --topology TOPOLOGY --strategy STRATEGY [options]
       shardsim explain --compare A.conf B.conf [options]

Where each byte of the peak and each second of the step goes, as arithmetic with the model's own numbers, with the rule
of thumb beside it and why the two differ; what bounds the step, and what twice of it would give. With --compare two
requests, each in a file as --config takes it, term by term.

  shardsim explain --topology 4xA100 --strategy zero3 --model llama-2-7b
  shardsim explain --compare examples/lessons/lora-attention-only.conf examples/lessons/lora-all-linear.conf

Options: those of simulate (shardsim simulate --help); --format text, markdown or json.
)";
}

}  // namespace shardsim
