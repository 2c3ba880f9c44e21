// A text file cut into lines and words that know where they stand.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shardsim {

struct Word {
  std::string text;
  std::size_t column = 1;  ///< from 1
};

struct TextLine {
  std::size_t number = 1;
  std::vector<Word> words;  ///< what blanks, tabs and terminal escapes leave
  std::size_t length = 0;
};

std::vector<TextLine> words_of_lines(std::string_view text);

/// Throws InputError at "file:line:column".
[[noreturn]] void refuse_at(const std::string& file, std::size_t line, std::size_t column, const std::string& what,
                            const std::string& right);

}  // namespace shardsim
