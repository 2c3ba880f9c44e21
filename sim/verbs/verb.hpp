// What `shardsim` can be told to do. Adding a verb: its file, a line in verb_table().
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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
  std::string (*help)();
};
/// In the order of the help.
std::span<const Verb> verb_table();
/// Throws InputError for a name that nobody knows, with the nearest.
const Verb& find_verb(std::string_view name);

/// Runs what the words after the program's name ask for: a verb, or `simulate` if they begin with an option.
ExitStatus run_command_line(const std::filesystem::path& program, const std::vector<std::string>& words);

ExitStatus run_simulate(const Command& command);
std::string simulate_help();
ExitStatus run_explain(const Command& command);
std::string explain_help();
ExitStatus run_advise(const Command& command);
std::string advise_help();
ExitStatus run_plan(const Command& command);
std::string plan_help();
ExitStatus run_sweep_verb(const Command& command);
std::string sweep_help();
ExitStatus run_list(const Command& command);
std::string list_help();
ExitStatus run_calibrate(const Command& command);
std::string calibrate_help();
ExitStatus run_validate(const Command& command);
std::string validate_help();
ExitStatus run_help(const Command& command);
std::string general_help();
ExitStatus run_version(const Command& command);

}  // namespace shardsim
