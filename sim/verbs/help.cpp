// What there is, examples first.
#include <fmt/format.h>

#include <algorithm>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/request/option_text.hpp"
#include "sim/sweep/build.hpp"
#include "sim/verbs/names.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

constexpr std::string_view examples = R"(  shardsim --topology 4xA100 --strategy zero3 --model llama-2-7b
  shardsim --topology 8xH100 --strategy fsdp --model llama-2-13b --checkpointing full
  shardsim list models
)";

std::string verb_lines() {
  std::string text;
  for (const Verb& verb : verb_table()) {
    if (verb.help != nullptr) text += fmt::format("  {:<11}{}\n", verb.name, verb.summary);
  }
  return text;
}

/// All that is to say of one option, and the names that it takes.
std::string help_of(const OptionSpec& option, const std::filesystem::path& program) {
  std::string text = options_help(std::span(&option, 1)).substr(1);
  const std::vector<std::string> names = names_for(option, find_data(program));
  std::string line;
  if (!names.empty()) text += "\nNames:\n";
  for (const std::string& name : names) {
    if (line.size() + name.size() > 90) text += line + "\n", line.clear();
    line += "  " + name;
  }
  return names.empty() ? text : text + line + "\n";
}

/// The option of any verb, with its dashes or without.
const OptionSpec* find_option(std::string_view name, const std::vector<OptionSpec>& options) {
  name.remove_prefix(std::min(name.find_first_not_of('-'), name.size()));
  const auto found = std::find_if(options.begin(), options.end(), [&](const OptionSpec& o) { return o.name == name; });
  return found == options.end() ? nullptr : &*found;
}

/// Each option once, those of simulate first.
std::vector<OptionSpec> all_options() {
  std::vector<OptionSpec> all;
  for (const Verb& verb : verb_table()) {
    if (verb.options == nullptr) continue;
    for (const OptionSpec& option : verb.options()) {
      if (find_option(option.name, all) == nullptr) all.push_back(option);
    }
  }
  return all;
}

/// Everything, in the form that help2man makes a man page of.
std::string whole_help() {
  std::string text =
      "Usage: shardsim [VERB] [options]\n\n"
      "Simulates one optimizer step of a language model on a described machine, event by event, and reports\n"
      "what fills each device and host, what the step waits for, and whether it fits.\n\nVerbs:\n" +
      verb_lines() + "\n*Options of simulate, explain, advise and plan*\n" + options_help(option_table()) +
      "\n*Options of single verbs*\n";
  const std::vector<OptionSpec> common(option_table().begin(), option_table().end());
  for (const Verb& verb : verb_table()) {
    if (verb.options == nullptr || verb.name == "simulate") continue;
    std::vector<OptionSpec> own = verb.options();
    std::erase_if(own, [&](const OptionSpec& option) {
      const OptionSpec* shared = find_option(option.name, common);
      return shared != nullptr && shared->help == option.help;
    });
    for (OptionSpec& option : own) option.group = verb.name;
    text += options_help(own);
  }
  return text + "\n*Examples*\n" + std::string(examples) + R"(
*Exit status*
  0   it fits, or an answer was found
  1   it does not fit, and the report is printed all the same
  2   the request is wrong; one line on stderr says what, where, and what would be right
  3   a bug in shardsim

*Environment*
  SHARDSIM_DATA   the folder with model/zoo and topologies, in place of the installed one
  NO_COLOR        no colours, if it is set and not empty
)";
}

}  // namespace

std::string general_help() {
  return "shardsim: will this training run fit, and how long will a step take?\n\nExamples:\n" + std::string(examples) +
         "\nUsage: shardsim [VERB] [options]; shardsim VERB --help tells what a verb takes\n\n" + verb_lines();
}

ExitStatus run_help(const Command& command) {
  if (command.arguments.size() > 1) throw InputError("help takes one name", "", "shardsim help VERB, or OPTION");
  if (command.arguments.empty()) {
    write_result(general_help(), "");
    return ExitStatus::fits;
  }
  const std::string& name = command.arguments[0];
  const std::vector<OptionSpec> options = all_options();
  if (name == "all") {
    write_result(whole_help(), "");
  } else if (const OptionSpec* option = find_option(name, options)) {
    write_result(help_of(*option, command.program), "");
  } else {
    write_result(find_verb(name).help(), "");
  }
  return ExitStatus::fits;
}

ExitStatus run_version(const Command& command) {
  if (!command.arguments.empty()) {
    throw InputError("version takes no arguments, not '" + command.arguments[0] + "'", "", "shardsim version");
  }
  write_result("shardsim " SHARDSIM_VERSION " (" + build_description() + ")\n", "");
  return ExitStatus::fits;
}

}  // namespace shardsim
