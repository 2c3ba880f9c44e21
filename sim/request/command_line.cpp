#include <boost/program_options.hpp>
#include <sstream>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/request/option_table.hpp"
#include "sim/request/option_text.hpp"

namespace shardsim {

namespace po = boost::program_options;

namespace {

constexpr unsigned help_width = 100;
constexpr unsigned help_text_width = 66;

po::options_description describe(std::span<const OptionSpec> options) {
  po::options_description all(help_width, help_text_width);
  for (auto begin = options.begin(); begin != options.end();) {
    po::options_description group(std::string(begin->group), help_width, help_text_width);
    const std::string_view heading = begin->group;
    for (; begin != options.end() && begin->group == heading; ++begin) {
      std::string name(begin->name);
      if (begin->letter != 0) name += std::string(",") + begin->letter;
      const std::string help(begin->help);
      if (begin->value.empty()) {
        group.add_options()(name.c_str(), help.c_str());
      } else {
        const std::string value(begin->value);
        group.add_options()(name.c_str(), po::value<std::string>()->value_name(value), help.c_str());
      }
    }
    all.add(group);
  }
  return all;
}

// Boost guesses prefixes and drops stray arguments silently unless told otherwise.
std::vector<po::option> tokenise(const std::vector<std::string>& arguments) {
  po::options_description known = describe(option_table());
  po::options_description stray;
  stray.add_options()("stray", po::value<std::vector<std::string>>());
  known.add(stray);
  po::positional_options_description positions;
  positions.add("stray", -1);
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  try {
    return po::command_line_parser(arguments).options(known).positional(positions).style(style).run().options;
  } catch (const po::unknown_option& error) {
    throw_unknown_name("option", error.get_option_name(), "", option_names());
  } catch (const po::error& error) {
    throw InputError(error.what(), "command line", "options as shardsim --help lists them");
  }
}

}  // namespace

OptionTexts read_command_line(const std::vector<std::string>& arguments) {
  OptionTexts texts;
  for (const po::option& option : tokenise(arguments)) {
    // "--stray" itself is ours alone; a user who types it hits the same refusal.
    if (option.position_key >= 0 || option.string_key == "stray" || option.string_key.empty()) {
      const std::string argument = option.value.empty() ? "--stray" : option.value.front();
      throw InputError("unexpected argument '" + argument + "'", "command line",
                       "a verb first, then options that begin with --");
    }
    const std::string where = "--" + option.string_key;
    const std::string value = option.value.empty() ? "on" : option.value.front();
    // Boost takes the next option for the value of one that lacks it.
    if (value.empty() || value.starts_with("--")) throw InputError(where + " has no value", "", where + " VALUE");
    texts[option.string_key] = {value, where};
  }
  return texts;
}

std::string options_help() {
  std::ostringstream out;
  out << describe(option_table());
  return out.str();
}

}  // namespace shardsim
