// Predictions against measured runs: the error, row by row.
#include "sim/validation/source_settings.hpp"
#include "sim/validation/validation.hpp"

#include <algorithm>
#include <optional>

#include "model/core/error.hpp"
#include "sim/request/choices.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

const std::string usage = "shardsim validate [DATA.csv] [--format FORMAT] [-o FILE] [--threads N] [-q]";

struct Arguments {
  std::optional<std::string> data;
  Format format = Format::text;
  std::string output;
  int threads = 0;
  bool quiet = false;
};

Arguments read_arguments(const std::vector<std::string>& words) {
  Arguments arguments;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t equals = words[i].starts_with("--") ? words[i].find('=') : std::string::npos;
    const std::string name = words[i].substr(0, equals);
    const auto value = [&] {
      if (equals != std::string::npos) return OptionText{words[i].substr(equals + 1), name};
      if (i + 1 == words.size()) throw InputError(name + " has no value", "validate", usage);
      return OptionText{words[++i], name};
    };
    if (name == "--format") {
      arguments.format = choose(format_choices, "format", value());
      if (arguments.format == Format::html) {
        throw InputError("a validation is no page", "--format", "text, json, csv or markdown");
      }
    } else if (name == "-o" || name == "--output") {
      arguments.output = value().value;
    } else if (name == "--threads") {
      arguments.threads = parse_threads(value());
    } else if (name == "-q" || name == "--quiet") {
      arguments.quiet = true;
    } else if (name.starts_with('-') || arguments.data) {
      throw InputError("unexpected argument '" + words[i] + "'", "validate", usage);
    } else {
      arguments.data = words[i];
    }
  }
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
  write_result(render(validation, arguments.format), arguments.output);
  if (validation.faults > 0) return ExitStatus::internal_fault;
  const bool nothing = validation.not_expressed.size() == validation.measured.runs.size();
  return nothing ? ExitStatus::does_not_fit : ExitStatus::fits;
}

std::string validate_help() {
  return "Usage: " + usage + R"(

Simulates each measured run of DATA.csv and prints the error of what was predicted: run by run, by source, by trust,
the worst with what their prediction is made of, and over all. Without DATA.csv: the published runs that come with
shardsim. A row is a run; its columns are id, source, trust, notes, the options of simulate (empty: the default), and
measured_allocated_bytes, _reserved_bytes, _used_bytes (worst rank), _host_bytes (a node), _oom (1: out of memory),
_step_time_s (an optimizer step), _tokens_per_s_per_gpu. Paths in it are relative to it. What the scripts of a published
source set and its rows leave open comes from tests/published/sources.csv.

  --format FORMAT       text, json, csv or markdown [text]
  -o [ --output ] FILE  write the result there instead of to stdout
  --threads N           threads to use [all]; the result does not depend on it
  -q [ --quiet ]        no warnings

Exit status: 0 the runs were compared, 1 none of them could be simulated, 2 the file or an option is wrong, 3 a bug.
)";
}

}  // namespace shardsim
