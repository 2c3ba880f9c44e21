#include "sim/report/markdown_table.hpp"

#include <string_view>

namespace shardsim {

namespace {

// A name that a user typed may hold what a table takes for its own.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c == '\n' ? ' ' : c;
  }
  return escaped;
}

}  // namespace

void MarkdownTable::head(const std::vector<std::string>& names) {
  row(names);
  out_ += "| :--- |";
  for (std::size_t i = 1; i < names.size(); ++i) out_ += " ---: |";
  out_ += '\n';
}

void MarkdownTable::row(const std::vector<std::string>& cells) {
  out_ += '|';
  for (const std::string& text : cells) out_ += " " + cell(text) + " |";
  out_ += '\n';
}

}  // namespace shardsim
