// Predictions against measured runs: the error, row by row.
#include "sim/validation/source_settings.hpp"
#include "sim/validation/validation.hpp"

#include <array>
#include <optional>

#include "model/core/error.hpp"
#include "sim/request/choices.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

struct Arguments {
  std::optional<std::string> data;
  Format format = Format::text;
  std::string output;
  int threads = 0;
  bool quiet = false;
  bool residuals = false;
};

constexpr std::array own_options = {
    OptionSpec{"Options", "format", 0, "text|json|csv|markdown", "[text]"},
    OptionSpec{"Options", "output", 'o', "FILE", "write the result there instead of to stdout"},
    OptionSpec{"Options", "residuals", 0, "",
               "quantiles of measured over predicted by kind of run, which ranges in reports come from "
               "(tests/published/residuals.csv) instead of the comparison"},
    OptionSpec{"Options", "threads", 0, "N", "threads to use [all]; the result does not depend on it"},
    OptionSpec{"Options", "quiet", 'q', "", "no warnings"},
};

Arguments read_arguments(const std::vector<std::string>& words) {
  const CommandLine line = read_command_line(words, own_options, 1);
  const auto text = [&](std::string_view option) -> const OptionText* {
    const auto found = line.options.find(option);
    return found == line.options.end() ? nullptr : &found->second;
  };
  Arguments arguments;
  if (!line.operands.empty()) arguments.data = line.operands.front();
  if (const OptionText* format = text("format")) arguments.format = choose(format_choices, "format", *format);
  if (arguments.format == Format::html) {
    throw InputError("a validation is no page", "--format", "text, json, csv or markdown");
  }
  if (const OptionText* output = text("output")) arguments.output = output->value;
  if (const OptionText* threads = text("threads")) arguments.threads = parse_threads(*threads);
  arguments.quiet = text("quiet") != nullptr;
  arguments.residuals = text("residuals") != nullptr;
  return arguments;
}

std::string render(const Validation& validation, Format format) {
  switch (format) {
    case Format::json:
      return render_validation_json(validation);
    case Format::csv:
      return render_validation_csv(validation);
    case Format::markdown:
      return render_validation_markdown(validation);
    case Format::text:
    case Format::html:  // refused above
      break;
  }
  return render_validation_text(validation);
}

}  // namespace

ExitStatus run_validate(const Command& command) {
  const Arguments arguments = read_arguments(command.arguments);
  const DataFolders data = find_data(command.program);
  MeasuredRuns measured =
      read_measured_runs(arguments.data ? std::filesystem::path(*arguments.data) : data.published / "measured.csv");
  apply_source_settings(measured, read_source_settings(data.published / "sources.csv"));
  if (!arguments.quiet) write_remarks("warning", measured.warnings);
  const Validation validation = validate(std::move(measured), data, arguments.threads);
  write_result(arguments.residuals ? render_residuals(residuals_of(validation)) : render(validation, arguments.format),
               arguments.output);
  if (validation.faults > 0) return ExitStatus::internal_fault;
  const bool nothing = validation.not_expressed.size() == validation.measured.runs.size();
  return nothing ? ExitStatus::does_not_fit : ExitStatus::fits;
}

std::vector<OptionSpec> validate_options() { return {own_options.begin(), own_options.end()}; }

std::string validate_help() {
  return R"(Usage: shardsim validate [DATA.csv] [options]

Simulates each measured run of DATA.csv and prints the error of what was predicted: run by run,
by source, by trust, the worst with what their prediction is made of, and over all. Without
DATA.csv: the published runs that come with shardsim.

A row is a run; its columns are id, source, trust, notes, the options of simulate (empty: the
default), and measured_allocated_bytes, _reserved_bytes, _used_bytes (worst rank), _host_bytes (a
node), _oom (1: out of memory), _step_time_s (an optimizer step), _tokens_per_s_per_gpu. Paths in
it are relative to it. What the scripts of a published source set and its rows leave open comes
from tests/published/sources.csv.
)" + options_help(own_options) +
         R"(
Exit status: 0 compared, 1 no run could be simulated, 2 the file or an option is wrong, 3 a bug.
)";
}

}  // namespace shardsim
