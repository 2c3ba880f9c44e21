#include <algorithm>
#include <sstream>

#include "model/core/error.hpp"
#include "model/core/read_file.hpp"
#include "model/core/suggest.hpp"
#include "sim/request/option_table.hpp"
#include "sim/request/option_text.hpp"

namespace shardsim {

namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\f\v";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

// A '#' begins a comment at the start of a line or after a blank, so that a path may hold one.
std::string_view without_comment(std::string_view line) {
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '#' && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t')) return line.substr(0, i);
  }
  return line;
}

std::string_view without_quotes(std::string_view text) {
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front()) {
    return text.substr(1, text.size() - 2);
  }
  return text;
}

void read_line(std::string_view line, const std::string& where, OptionTexts& texts) {
  const std::size_t separator = line.find_first_of("=:");
  const std::string key(trimmed(line.substr(0, separator)));
  const std::string value(separator == std::string_view::npos ? ""
                                                              : without_quotes(trimmed(line.substr(separator + 1))));
  const std::vector<std::string> known = option_names();
  if (std::find(known.begin(), known.end(), key) == known.end()) throw_unknown_name("option", key, where, known);
  if (key == "config" || key == "help") throw InputError("'" + key + "' has no place in a config file", where, "");
  if (value.empty()) throw InputError("'" + key + "' has no value", where, key + " = VALUE");
  if (!texts.try_emplace(key, OptionText{value, where + ", " + key}).second) {
    throw InputError("'" + key + "' stands twice", where, "each option once in a file");
  }
}

}  // namespace

OptionTexts read_config_file(const std::filesystem::path& file) {
  std::string text = read_file(file, {"--config", "a text file of options", settings_limit});
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.erase(0, byte_order_mark.size());
  std::istringstream lines(text);
  OptionTexts texts;
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::string_view content = trimmed(without_comment(line));
    if (!content.empty()) read_line(content, file.string() + ":" + std::to_string(number), texts);
  }
  return texts;
}

}  // namespace shardsim
