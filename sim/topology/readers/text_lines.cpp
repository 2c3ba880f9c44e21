#include "sim/topology/readers/text_lines.hpp"

#include "model/core/error.hpp"

namespace shardsim {

namespace {

/// Terminal escapes ("\x1b[4m") become blanks, so that columns stay what they are.
std::string without_escapes(std::string_view line) {
  std::string text(line);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\x1b') continue;
    std::size_t end = i + 1;
    while (end < text.size() && text[end] != 'm') ++end;
    for (std::size_t j = i; j <= std::min(end, text.size() - 1); ++j) text[j] = ' ';
  }
  return text;
}

}  // namespace

std::vector<TextLine> words_of_lines(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\v\f";
  std::vector<TextLine> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = without_escapes(text.substr(begin, end - begin));
    TextLine found{lines.size() + 1, {}, line.size()};
    for (std::size_t at = line.find_first_not_of(blanks); at != std::string::npos;) {
      const std::size_t stop = std::min(line.find_first_of(blanks, at), line.size());
      found.words.push_back({line.substr(at, stop - at), at + 1});
      at = line.find_first_not_of(blanks, stop);
    }
    lines.push_back(std::move(found));
    begin = end + 1;
  }
  return lines;
}

void refuse_at(const std::string& file, std::size_t line, std::size_t column, const std::string& what,
               const std::string& right) {
  throw InputError(what, file + ":" + std::to_string(line) + ":" + std::to_string(column), right);
}

}  // namespace shardsim
