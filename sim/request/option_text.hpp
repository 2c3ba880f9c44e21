// What was written for each option, before it means anything: the common form of every source of options.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/request/option_table.hpp"

namespace shardsim {

/// A value as written, and where: "--seq-len", or "run.cfg:3, seq-len".
struct OptionText {
  std::string value;
  std::string where;
};
/// By option name, without the dashes. A switch that is set has the value "on".
using OptionTexts = std::map<std::string, OptionText, std::less<>>;

/// "on" or "off", or "true", "yes", "false", "no" as YAML files say it; else InputError.
bool parse_switch(const OptionText& text);

/// What stands after a verb.
struct CommandLine {
  OptionTexts options;
  std::vector<std::string> operands;  ///< words that are no options
};

/// The arguments after a verb whose options are `table`. An option given twice counts as given last. Throws InputError
/// for unknown options (with the nearest known ones), missing values and more than `most_operands` operands.
CommandLine read_command_line(const std::vector<std::string>& arguments, std::span<const OptionSpec> table,
                              std::size_t most_operands);

/// The same for the options of `simulate`, which takes no operands.
OptionTexts read_command_line(const std::vector<std::string>& arguments);

/// A file of `key = value` or `key: value` lines with the same keys; `#` starts a comment, quotes around a value are
/// dropped. Throws InputError with file and line for an unknown key, a key that stands twice or a line without a value.
OptionTexts read_config_file(const std::filesystem::path& file);

/// The word as a shell takes it: in quotes where it needs them.
std::string shell_word(const std::string& word);

/// The options by group, each with all that is to say.
std::string options_help(std::span<const OptionSpec> table);

/// The options by group, one line each for those that most need, and the names of the others.
std::string options_overview(std::span<const OptionSpec> table);

}  // namespace shardsim
