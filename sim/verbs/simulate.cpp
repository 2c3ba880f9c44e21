// One step, simulated and printed.
#include "sim/simulate.hpp"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "sim/report/gzip.hpp"
#include "sim/report/html/report.hpp"
#include "sim/report/memory_snapshot.hpp"
#include "sim/report/run_trace.hpp"
#include "sim/request/option_text.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

std::string render(const Simulation& made, const Request& request, const Command& command) {
  const Report& report = made.report;
  switch (request.format) {
    case Format::json:
      return render_json(report);
    case Format::csv:
      return render_csv(report);
    case Format::markdown:
      return render_markdown(report);
    case Format::html:
      return render_html(report, made.topology, made.run, made.outcome, shell_command(command.arguments));
    case Format::text:
      break;
  }
  return render_text(report, request.color && request.output.empty() && stdout_takes_color());
}

void write_files_of_the_run(const Simulation& made) {
  const Request& request = made.request;
  const Plan& plan = made.run.plan;
  if (!request.trace.empty()) {
    const RunTrace trace = make_run_trace(plan, made.topology, made.outcome);
    const std::string text =
        request.trace.ends_with(".pftrace") ? render_perfetto_trace(trace) : render_chrome_trace(trace);
    write_file(request.trace.ends_with(".gz") ? gzipped(text) : text, request.trace, "--trace");
  }
  if (!request.memory_snapshot.empty()) {
    write_file(render_memory_snapshot(plan, made.outcome), request.memory_snapshot, "--memory-snapshot");
  }
}

/// A file whose name promises another format than the one that nobody asked for.
std::vector<std::string> misnamed_output(const Request& request) {
  if (request.format != Format::text) return {};
  constexpr std::pair<std::string_view, std::string_view> formats[] = {
      {".json", "json"}, {".csv", "csv"}, {".md", "markdown"}, {".html", "html"}};
  for (const auto& [ending, format] : formats) {
    if (request.output.ends_with(ending)) {
      return {fmt::format("{} holds plain text; --format {} makes it what its name says", request.output, format)};
    }
  }
  return {};
}

}  // namespace

ExitStatus run_simulate(const Command& command) {
  const Request request = parse_request(command.arguments);
  const Simulation made = simulate_in_full(request, load_scenario(request, find_data(command.program)));
  const Report& report = made.report;
  write_files_of_the_run(made);
  write_result(render(made, request, command), request.output);
  if (request.verbosity >= 0) {
    write_remarks("warning", report.warnings);
    write_remarks("warning", misnamed_output(request));
  }
  return report.fits ? ExitStatus::fits : ExitStatus::does_not_fit;
}

std::vector<OptionSpec> simulate_options() { return {option_table().begin(), option_table().end()}; }

std::string simulate_help() {
  return R"(Usage: shardsim [simulate] --topology TOPOLOGY --strategy STRATEGY [options]

Simulates one training step: what fills each device and each host, and where the time goes.

  shardsim --topology 4xA100 --strategy zero3
  shardsim --topology 1xRTX-4090 --strategy zero2-offload --seq-len 2k --checkpointing full
  shardsim --topology 2x8xH100 --strategy fsdp --model llama-2-13b --format json -o report.json

)" + options_overview(option_table()) +
         R"(
Exit status: 0 fits, 1 does not fit (the report is still printed), 2 the request is wrong, 3 a bug.
)";
}

}  // namespace shardsim
