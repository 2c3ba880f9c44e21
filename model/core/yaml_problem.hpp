// What is wrong with a YAML file, in words that its author knows.
#pragma once

#include <string>
#include <string_view>

namespace shardsim {

/// What a parser said of `text` at `line` (from 0), or the tab in an indentation up to there that is behind it.
std::string yaml_problem(std::string_view text, int line, std::string_view said);

}  // namespace shardsim
