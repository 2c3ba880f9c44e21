// The table of options as text: in full, and on one screen.
#include <algorithm>
#include <sstream>

#include "sim/request/option_text.hpp"

namespace shardsim {

namespace {

constexpr std::size_t width = 98;
constexpr std::size_t column = 26;  // where what an option is stands

/// "-o, --output FILE"
std::string form(const OptionSpec& option) {
  std::string text = option.letter != 0 ? std::string("-") + option.letter + ", --" : "--";
  text += option.name;
  return option.value.empty() ? text : text + " " + std::string(option.value);
}

/// `words` in lines, the first behind `begin`, the others behind as many blanks as `indent`.
std::string lines(std::string begin, const std::vector<std::string>& words, std::size_t indent) {
  std::string text;
  for (const std::string& word : words) {
    if (begin.size() > indent && begin.size() + 1 + word.size() > width) {
      text += begin + "\n";
      begin = std::string(indent, ' ');
    }
    begin += (begin.empty() || begin.back() == ' ' ? "" : " ") + word;
  }
  return text + begin + "\n";
}

std::vector<std::string> words_of(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

std::string entry(const OptionSpec& option, std::string_view says) {
  std::string begin = "  " + form(option);
  begin.resize(std::max(column, begin.size() + 2), ' ');
  return lines(begin, words_of(says), column);
}

}  // namespace

std::string options_help(std::span<const OptionSpec> table) {
  std::string text;
  std::string_view heading;
  for (const OptionSpec& option : table) {
    if (option.group != heading) text += "\n" + std::string(option.group) + ":\n";
    heading = option.group;
    text += entry(option, option.help);
  }
  return text;
}

std::string options_overview(std::span<const OptionSpec> table) {
  std::string text;
  for (auto begin = table.begin(); begin != table.end();) {
    const std::string_view heading = begin->group;
    text += std::string(heading) + ":\n";
    std::vector<std::string> others;
    for (; begin != table.end() && begin->group == heading; ++begin) {
      if (begin->brief.empty()) {
        others.push_back(form(*begin));
        continue;
      }
      text += entry(*begin, begin->brief);
    }
    for (std::size_t i = 0; i + 1 < others.size(); ++i) others[i] += ",";
    if (!others.empty()) text += lines("  also:", others, 8);
  }
  return text;
}

}  // namespace shardsim
