#include <algorithm>
#include <boost/program_options.hpp>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/request/option_table.hpp"
#include "sim/request/option_text.hpp"

namespace shardsim {

namespace po = boost::program_options;

namespace {

po::options_description describe(std::span<const OptionSpec> table) {
  po::options_description all;
  for (const OptionSpec& option : table) {
    std::string name(option.name);
    if (option.letter != 0) name += std::string(",") + option.letter;
    if (option.value.empty()) {
      all.add_options()(name.c_str(), "");
    } else {
      all.add_options()(name.c_str(), po::value<std::string>());
    }
  }
  return all;
}

constexpr const char* operand = "operand";

[[noreturn]] void refuse_without_value(std::string name, std::span<const OptionSpec> table) {
  name.erase(0, name.find_first_not_of('-'));
  const auto option = std::find_if(table.begin(), table.end(), [&](const OptionSpec& o) { return o.name == name; });
  const std::string value(option == table.end() ? "VALUE" : option->value);
  throw InputError("--" + name + " has no value", "", "--" + name + " " + value);
}

// Boost guesses prefixes and drops stray arguments silently unless told otherwise.
std::vector<po::option> tokenise(const std::vector<std::string>& arguments, std::span<const OptionSpec> table) {
  po::options_description known = describe(table);
  known.add_options()(operand, po::value<std::vector<std::string>>());
  po::positional_options_description positions;
  positions.add(operand, -1);
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  try {
    return po::command_line_parser(arguments).options(known).positional(positions).style(style).run().options;
  } catch (const po::unknown_option& error) {
    std::vector<std::string> names;
    for (const OptionSpec& option : table) names.emplace_back(option.name);
    throw_unknown_name("option", error.get_option_name(), "", names);
  } catch (const po::invalid_command_line_syntax& error) {
    if (error.kind() != po::invalid_syntax::missing_parameter) {
      throw InputError(error.what(), "command line", "options as --help lists them");
    }
    refuse_without_value(error.get_option_name(), table);
  } catch (const po::error& error) {
    throw InputError(error.what(), "command line", "options as --help lists them");
  }
}

}  // namespace

CommandLine read_command_line(const std::vector<std::string>& arguments, std::span<const OptionSpec> table,
                              std::size_t most_operands) {
  CommandLine line;
  for (const po::option& option : tokenise(arguments, table)) {
    // "--operand" itself is ours alone; a user who types it hits the same refusal.
    if (option.position_key >= 0 || option.string_key == operand || option.string_key.empty()) {
      const std::string word = option.value.empty() ? std::string("--") + operand : option.value.front();
      if (option.position_key < 0 || line.operands.size() == most_operands) {
        throw InputError("unexpected argument '" + word + "'", "command line",
                         "a verb first, then what its --help lists");
      }
      line.operands.push_back(word);
      continue;
    }
    const std::string where = "--" + option.string_key;
    const std::string value = option.value.empty() ? "on" : option.value.front();
    // Boost takes the next option for the value of one that lacks it.
    if (value.empty() || value.starts_with("--")) refuse_without_value(option.string_key, table);
    line.options[option.string_key] = {value, where};
  }
  return line;
}

OptionTexts read_command_line(const std::vector<std::string>& arguments) {
  return read_command_line(arguments, option_table(), 0).options;
}

}  // namespace shardsim
