// What `shardsim` can be told to do. Adding a verb: its file, a line in verb_table().
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/request/option_table.hpp"

namespace shardsim {

/// The contract's exit statuses.
enum class ExitStatus : int { fits = 0, does_not_fit = 1, wrong_request = 2, internal_fault = 3 };

struct Command {
  std::filesystem::path program;       ///< the running program, whose place tells where the data files are
  std::vector<std::string> arguments;  ///< after the verb
};

struct Verb {
  std::string_view name;
  std::string_view summary;
  ExitStatus (*run)(const Command& command);
  std::string (*help)();                           ///< on one screen; null: a verb for programs, which no help names
  std::vector<OptionSpec> (*options)() = nullptr;  ///< all that it takes; null: none
};
/// In the order of the help.
std::span<const Verb> verb_table();
/// Throws InputError for a name that nobody knows, with the nearest.
const Verb& find_verb(std::string_view name);

/// `own`, then those of simulate.
std::vector<OptionSpec> beside_those_of_simulate(std::span<const OptionSpec> own);

/// Runs what the words after the program's name ask for: a verb, or `simulate` if they begin with an option.
ExitStatus run_command_line(const std::filesystem::path& program, const std::vector<std::string>& words);

ExitStatus run_simulate(const Command& command);
std::string simulate_help();
std::vector<OptionSpec> simulate_options();
ExitStatus run_explain(const Command& command);
std::string explain_help();
std::vector<OptionSpec> explain_options();
ExitStatus run_advise(const Command& command);
std::string advise_help();
std::vector<OptionSpec> advise_options();
ExitStatus run_plan(const Command& command);
std::string plan_help();
std::vector<OptionSpec> plan_options();
ExitStatus run_sweep_verb(const Command& command);
std::string sweep_help();
std::vector<OptionSpec> sweep_options();
ExitStatus run_list(const Command& command);
std::string list_help();
std::vector<OptionSpec> list_options();
ExitStatus run_calibrate(const Command& command);
std::string calibrate_help();
std::vector<OptionSpec> calibrate_options();
ExitStatus run_validate(const Command& command);
std::string validate_help();
std::vector<OptionSpec> validate_options();
ExitStatus run_help(const Command& command);
std::string general_help();
/// `shardsim complete WORDS`: what may stand for the last of the words, a candidate a line, behind a tab what it is.
/// The shells' completions in sim/verbs/completion ask it.
ExitStatus run_complete(const Command& command);
ExitStatus run_version(const Command& command);

}  // namespace shardsim
