#include "model/core/yaml_problem.hpp"

namespace shardsim {

std::string yaml_problem(std::string_view text, int line, std::string_view said) {
  for (int number = 0; number <= line && !text.empty(); ++number) {
    const std::string_view indentation = text.substr(0, text.find_first_not_of(" \t"));
    if (indentation.find('\t') != std::string_view::npos) {
      return "line " + std::to_string(number + 1) + " is indented by a tab, which YAML does not allow";
    }
    const std::size_t end = text.find('\n');
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return std::string(said);
}

}  // namespace shardsim
