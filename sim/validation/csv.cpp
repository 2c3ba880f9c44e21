#include "sim/validation/csv.hpp"

#include "model/core/error.hpp"

namespace shardsim {

namespace {

class Reader {
 public:
  Reader(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  std::vector<CsvRow> rows() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      CsvRow row{line_, {}};
      do {
        row.fields.push_back(field());
      } while (take(','));
      if (at_ < text_.size() && !take_line_end()) refuse("a quote inside a field", "quotes around the whole field");
      if (row.fields.size() > 1 || !row.fields.front().empty()) rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  std::string field() { return take('"') ? quoted() : bare(); }

  std::string bare() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_.substr(at_, 1).find_first_of(",\"\r\n") == std::string_view::npos) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string quoted() {
    std::string content;
    const int begin = line_;
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        if (text_.substr(at_, 2) != "\"\"") {
          ++at_;
          return content;
        }
        ++at_;
      }
      if (text_[at_] == '\n') ++line_;
      content += text_[at_];
    }
    line_ = begin;
    refuse("a quote is never closed", "a closing \"");
  }

  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool take_line_end() {
    take('\r');
    if (at_ < text_.size() && !take('\n')) return false;
    ++line_;
    return true;
  }

  [[noreturn]] void refuse(const std::string& what, const std::string& right) const {
    throw InputError(what, name_ + ":" + std::to_string(line_), right);
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_ = 0;
  int line_ = 1;
};

}  // namespace

std::vector<CsvRow> parse_csv(std::string_view text, const std::string& name) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  return Reader(text, name).rows();
}

}  // namespace shardsim
