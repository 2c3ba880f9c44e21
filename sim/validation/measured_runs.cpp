#include "sim/validation/measured_runs.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "model/core/error.hpp"
#include "model/core/read_file.hpp"
#include "model/core/suggest.hpp"
#include "sim/request/option_table.hpp"
#include "sim/validation/csv.hpp"

namespace shardsim {

namespace {

constexpr std::array<std::string_view, quantity_count> names = {
    "allocated_bytes", "reserved_bytes", "used_bytes", "host_bytes", "oom", "step_time_s", "tokens_per_s_per_gpu"};
constexpr std::string_view measured_prefix = "measured_";

/// What says how to run or print, not what was run.
const std::set<std::string, std::less<>> not_of_a_row = {"format", "output",  "quiet", "verbose",        "no-color",
                                                         "help",   "threads", "trace", "memory-snapshot"};
const std::set<std::string, std::less<>> paths = {"model", "topology", "deepspeed", "accelerate", "config", "peft"};

struct Column {
  enum class Kind : std::uint8_t { id, source, trust, notes, option, measured, ignored } kind = Kind::ignored;
  std::string name;
  Quantity quantity = Quantity::oom;
};

Column column_of(const std::string& name, const std::string& where, std::vector<std::string>& warnings) {
  if (name == "id") return {Column::Kind::id, name};
  if (name == "source") return {Column::Kind::source, name};
  if (name == "trust") return {Column::Kind::trust, name};
  if (name == "notes") return {Column::Kind::notes, name};
  std::vector<std::string> known = {"id", "source", "trust", "notes"};
  for (std::size_t q = 0; q < quantity_count; ++q) {
    known.push_back(std::string(measured_prefix) + std::string(names[q]));
    if (name == known.back()) return {Column::Kind::measured, name, static_cast<Quantity>(q)};
  }
  for (const std::string& option : option_names()) {
    if (not_of_a_row.contains(option)) continue;
    known.push_back(option);
    if (name == option) return {Column::Kind::option, name};
  }
  const std::string nearest = nearest_names(name, known).front();
  warnings.push_back(where + ": the column '" + name + "' is not known and not used; the nearest known: " + nearest);
  return {Column::Kind::ignored, name};
}

double number(const std::string& text, const std::string& where) {
  constexpr double most = 1e18;
  double value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || rest != text.data() + text.size() || !(value >= 0 && value <= most)) {
    throw InputError("'" + text + "' is no measurement", where, "a number from 0 to 1e18, or nothing");
  }
  return value;
}

class Table {
 public:
  Table(const std::filesystem::path& file, const std::vector<CsvRow>& rows) : file_(file) {
    if (rows.size() < 2) throw InputError("no runs", file.string(), "a header and at least one row");
    header(rows.front());
    for (std::size_t i = 1; i < rows.size(); ++i) result_.runs.push_back(run(rows[i]));
  }
  MeasuredRuns take() { return std::move(result_); }

 private:
  std::string place(int line) const { return file_.string() + ":" + std::to_string(line); }

  void header(const CsvRow& row) {
    constexpr std::size_t most_columns = 1000;
    if (row.fields.size() > most_columns) {
      throw InputError(std::to_string(row.fields.size()) + " columns", place(row.line),
                       "at most " + std::to_string(most_columns));
    }
    std::set<std::string> seen;
    for (const std::string& name : row.fields) {
      if (!seen.insert(name).second) {
        throw InputError("the column '" + name + "' stands twice", place(row.line), "each column once");
      }
      columns_.push_back(column_of(name, place(row.line), result_.warnings));
    }
    if (!seen.contains("id")) throw InputError("no column 'id'", place(row.line), "id, source, trust, topology, ...");
  }

  MeasuredRun run(const CsvRow& row) const {
    if (row.fields.size() != columns_.size()) {
      throw InputError(std::to_string(row.fields.size()) + " fields", place(row.line),
                       std::to_string(columns_.size()) + ", as the header has");
    }
    MeasuredRun run;
    for (std::size_t c = 0; c < columns_.size(); ++c) set(run, columns_[c], row.fields[c], row.line);
    if (run.id.empty()) run.id = "line " + std::to_string(row.line);
    return run;
  }

  void set(MeasuredRun& run, const Column& column, const std::string& text, int line) const {
    if (text.empty()) return;
    const std::string where = place(line) + ", " + column.name;
    switch (column.kind) {
      case Column::Kind::id:
        run.id = text;
        break;
      case Column::Kind::source:
        run.source = text;
        break;
      case Column::Kind::trust:
        run.trust = text;
        break;
      case Column::Kind::notes:
        run.notes = text;
        break;
      case Column::Kind::option:
        run.options[column.name] = {resolved(column.name, text), where};
        break;
      case Column::Kind::measured:
        run.measured[static_cast<std::size_t>(column.quantity)] = measurement(column.quantity, text, where);
        break;
      case Column::Kind::ignored:
        break;
    }
  }

  static double measurement(Quantity quantity, const std::string& text, const std::string& where) {
    const double value = number(text, where);
    if (quantity == Quantity::oom && value != 0 && value != 1) {
      throw InputError("'" + text + "' does not say whether memory ran out", where, "0 or 1");
    }
    // An error relative to nothing says nothing.
    if (quantity != Quantity::oom && value == 0) {
      throw InputError("a measurement of 0", where, "more than 0, or nothing where it was not measured");
    }
    return value;
  }

  std::string resolved(const std::string& option, const std::string& text) const {
    if (!paths.contains(option)) return text;
    const std::filesystem::path path = file_.parent_path() / text;
    std::error_code ignored;
    return std::filesystem::is_regular_file(path, ignored) ? path.string() : text;
  }

  std::filesystem::path file_;
  std::vector<Column> columns_;
  MeasuredRuns result_;
};

}  // namespace

std::string_view name_of(Quantity quantity) { return names[static_cast<std::size_t>(quantity)]; }

bool is_memory(Quantity quantity) { return quantity < Quantity::oom; }

bool is_time(Quantity quantity) { return quantity > Quantity::oom; }

MeasuredRuns read_measured_runs(const std::filesystem::path& file) {
  const std::string text = read_file(file, {"validate", "a CSV file of measured runs", table_limit});
  const std::string_view header = std::string_view(text).substr(0, text.find('\n'));
  if (header.find(';') != std::string_view::npos && header.find(',') == std::string_view::npos) {
    throw InputError("semicolons stand between the columns", file.string() + ":1", "commas");
  }
  return Table(file, parse_csv(text, file.string())).take();
}

}  // namespace shardsim
