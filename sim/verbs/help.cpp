// What there is, examples first.
#include <fmt/format.h>

#include "model/core/error.hpp"
#include "sim/sweep/build.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

std::string general_help() {
  std::string text = R"(shardsim: will this training run fit, and how long will a step take?

Examples:
  shardsim --topology 4xA100 --strategy zero3 --model llama-2-7b
  shardsim --topology 8xH100 --strategy fsdp --model llama-2-13b --checkpointing full
  shardsim list models

Usage: shardsim [VERB] [options]; shardsim VERB --help tells what a verb takes

)";
  for (const Verb& verb : verb_table()) text += fmt::format("  {:<10}{}\n", verb.name, verb.summary);
  return text;
}

ExitStatus run_help(const Command& command) {
  if (command.arguments.size() > 1) throw InputError("help takes one verb", "", "shardsim help VERB");
  write_result(command.arguments.empty() ? general_help() : find_verb(command.arguments[0]).help(), "");
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
