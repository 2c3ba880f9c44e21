// Where each byte and each second goes.
#include <array>

#include "model/core/error.hpp"
#include "sim/explain/render.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

constexpr std::array own_options = {
    OptionSpec{"Options, beside those of simulate", "compare", 0, "A.conf B.conf",
               "two requests, each in a file as --config takes it, term by term"},
};

/// Throws InputError for what an explanation cannot be.
void check_form(const Request& request) {
  refuse_files_of_one_run(request, "explain");
  if (request.format == Format::csv || request.format == Format::html) {
    throw InputError("an explanation has no such form", "--format", "text, markdown or json");
  }
}

template <class Answer>
std::string in_form(const Answer& answer, const Request& request) {
  switch (request.format) {
    case Format::json:
      return render_json(answer);
    case Format::markdown:
      return render_markdown(answer);
    default:  // check_form() leaves no other
      return render_text(answer);
  }
}

ExitStatus explain_difference(const std::array<std::string, 2>& files, const OptionTexts& shared,
                              const DataFolders& data) {
  std::array<OptionTexts, 2> options;
  std::array<Request, 2> requests;
  for (std::size_t side = 0; side < 2; ++side) {
    OptionTexts texts = shared;
    texts["config"] = {files[side], "--compare"};
    options[side] = with_config_file(std::move(texts));
    options[side].erase("config");
    requests[side] = resolve_request(options[side]);
    check_form(requests[side]);
  }
  const std::array<Report, 2> reports{simulate(requests[0], data), simulate(requests[1], data)};
  write_result(in_form(compare(options, reports), requests[0]), requests[0].output);
  return reports[0].fits && reports[1].fits ? ExitStatus::fits : ExitStatus::does_not_fit;
}

}  // namespace

ExitStatus run_explain(const Command& command) {
  CommandLine line = read_command_line(command.arguments, explain_options(), 1);
  const DataFolders data = find_data(command.program);
  if (const auto compared = line.options.extract("compare")) {
    if (line.operands.empty()) throw InputError("--compare takes two files", "explain", "--compare A.conf B.conf");
    return explain_difference({compared.mapped().value, line.operands.front()}, line.options, data);
  }
  if (!line.operands.empty()) {
    throw InputError("unexpected argument '" + line.operands.front() + "'", "explain", "options that begin with --");
  }
  const Request request = resolve_request(with_config_file(std::move(line.options)));
  check_form(request);
  const Explanation explanation = explain(request, load_scenario(request, data));
  write_result(in_form(explanation, request), request.output);
  return explanation.report.fits ? ExitStatus::fits : ExitStatus::does_not_fit;
}

std::vector<OptionSpec> explain_options() { return beside_those_of_simulate(own_options); }

std::string explain_help() {
  return R"(Usage: shardsim explain --topology TOPOLOGY --strategy STRATEGY [options]
       shardsim explain --compare A.conf B.conf [options]

Where each byte of the peak and each second of the step goes, as arithmetic with the model's own
numbers, with the rule of thumb beside it and why the two differ; what bounds the step, and what
twice of it would give.

  shardsim explain --topology 4xA100 --strategy zero3 --model llama-2-7b
  shardsim explain --compare examples/llama-3-8b-zero3.conf examples/llama-3-8b-fsdp.conf
)" + options_help(own_options) +
         R"(
The others: shardsim simulate --help; --format text, markdown or json.
Exit status: 0 fits, 1 does not fit (the answer is still printed), 2 the request is wrong, 3 a bug.
)";
}

}  // namespace shardsim
