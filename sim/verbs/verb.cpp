#include "sim/verbs/verb.hpp"

#include <algorithm>
#include <array>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/verbs/output.hpp"

namespace shardsim {

namespace {

constexpr std::array table = {
    Verb{"simulate", "one training step: does it fit, and how long does it take (the default verb)", run_simulate,
         simulate_help, simulate_options},
    Verb{"explain", "the arithmetic behind each number", run_explain, explain_help, explain_options},
    Verb{"advise", "the least costly change that makes it fit, or that makes it faster or cheaper", run_advise,
         advise_help, advise_options},
    Verb{"plan", "which machines to buy or rent for a job: time, money, energy", run_plan, plan_help, plan_options},
    Verb{"sweep", "many simulations, over threads and MPI ranks", run_sweep_verb, sweep_help, sweep_options},
    Verb{"list", "the models, devices, systems, strategies and other names that options take", run_list, list_help,
         list_options},
    Verb{"validate", "predictions against measured runs: the error, row by row", run_validate, validate_help,
         validate_options},
    Verb{"calibrate", "your own measurements into a device file that overrides ours", run_calibrate, calibrate_help,
         calibrate_options},
    Verb{"help", "this text, that of a verb or of an option; help all: everything", run_help, general_help},
    Verb{"version", "the version", run_version, general_help},
    Verb{"complete", "", run_complete, nullptr},
};

bool asks_for_help(const std::vector<std::string>& arguments) {
  return std::any_of(arguments.begin(), arguments.end(),
                     [](const std::string& a) { return a == "--help" || a == "-h"; });
}

}  // namespace

std::span<const Verb> verb_table() { return table; }

const Verb& find_verb(std::string_view name) {
  const auto verb = std::find_if(table.begin(), table.end(), [&](const Verb& v) { return v.name == name; });
  if (verb == table.end()) {
    std::vector<std::string> names;
    for (const Verb& known : table) {
      if (known.help != nullptr) names.emplace_back(known.name);
    }
    throw_unknown_name("verb", name, "", names);
  }
  return *verb;
}

std::vector<OptionSpec> beside_those_of_simulate(std::span<const OptionSpec> own) {
  std::vector<OptionSpec> all(own.begin(), own.end());
  all.insert(all.end(), option_table().begin(), option_table().end());
  return all;
}

ExitStatus run_command_line(const std::filesystem::path& program, const std::vector<std::string>& words) {
  if (!words.empty() && (words[0] == "--help" || words[0] == "-h")) return run_help({program, {}});
  if (!words.empty() && words[0] == "--version") return run_version({program, {}});
  const bool named = !words.empty() && !words[0].starts_with('-');
  const Verb& verb = find_verb(named ? words[0] : "simulate");
  const Command command{program, {words.begin() + (named ? 1 : 0), words.end()}};
  if (verb.help != nullptr && asks_for_help(command.arguments)) {
    write_result(verb.help(), "");
    return ExitStatus::fits;
  }
  return verb.run(command);
}

}  // namespace shardsim
