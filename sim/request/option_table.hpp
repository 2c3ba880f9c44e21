// Every option of `simulate`, once: the command line, the config file, the help, the man page and what a shell
// completes are made from this table.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shardsim {

struct OptionSpec {
  std::string_view group;  ///< heading in the help
  std::string_view name;   ///< without the dashes
  char letter = 0;         ///< its short form, 0 = none
  std::string_view value;  ///< what stands for its value in the help; empty: a switch
  std::string_view help;
  std::string_view brief = {};  ///< for the help of one screen; empty: only the name stands there
};

/// In the order of the help; options of one group stand together.
std::span<const OptionSpec> option_table();
/// All names, for suggestions.
std::vector<std::string> option_names();

}  // namespace shardsim
