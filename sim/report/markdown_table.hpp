// A table as Markdown has them.
#pragma once

#include <string>
#include <vector>

namespace shardsim {

/// Appends to `out`, which outlives it.
class MarkdownTable {
 public:
  explicit MarkdownTable(std::string& out) : out_(out) {}
  /// Text stands left in the first column, numbers right in the others.
  void head(const std::vector<std::string>& names);
  void row(const std::vector<std::string>& cells);

 private:
  std::string& out_;
};

}  // namespace shardsim
