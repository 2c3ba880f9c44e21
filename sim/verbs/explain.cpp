// Where each byte and each second goes.
#include <algorithm>

#include "model/core/error.hpp"
#include "sim/explain/render.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

template <class Answer>
std::string in_form(const Answer& answer, const Request& request) {
  switch (request.format) {
    case Format::json:
      return render_json(answer);
    case Format::markdown:
      return render_markdown(answer);
    case Format::text:
      return render_text(answer);
    default:
      throw InputError("an explanation has no such form", "--format", "text, markdown or json");
  }
}

ExitStatus explain_difference(const Command& command, std::size_t at) {
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
  const Request request = resolve_request(options[0]);
  refuse_files_of_one_run(request, "explain");
  const ReportComparison comparison = compare(options, reports);
  write_result(in_form(comparison, request), request.output);
  return reports[0].fits && reports[1].fits ? ExitStatus::fits : ExitStatus::does_not_fit;
}

}  // namespace

ExitStatus run_explain(const Command& command) {
  const auto compared = std::find(command.arguments.begin(), command.arguments.end(), "--compare");
  if (compared != command.arguments.end()) {
    return explain_difference(command, static_cast<std::size_t>(compared - command.arguments.begin()));
  }
  const Request request = parse_request(command.arguments);
  refuse_files_of_one_run(request, "explain");
  const Explanation explanation = explain(request, load_scenario(request, find_data(command.program)));
  write_result(in_form(explanation, request), request.output);
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
