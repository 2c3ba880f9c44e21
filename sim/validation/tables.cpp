// The validation as text, Markdown and CSV.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "sim/report/csv_field.hpp"
#include "sim/report/notation.hpp"
#include "sim/validation/validation.hpp"

namespace shardsim {

namespace {

using Cells = std::vector<std::string>;

constexpr std::size_t shown_worst = 10;

/// Rows of equal length, the first one the header. Text columns stand left, numbers right, then comes text again.
struct Table {
  std::vector<Cells> rows;
  std::size_t numbers = 1;  ///< the first column of numbers
  std::size_t texts = 100;  ///< the first column of text after them
  bool is_number(std::size_t column) const { return column >= numbers && column < texts; }
};

std::string amount(Quantity quantity, double value) {
  if (is_memory(quantity)) return in_gib(static_cast<std::int64_t>(value), 2) + " GiB";
  if (quantity == Quantity::step_time_s) return duration_text(value);
  if (quantity == Quantity::tokens_per_s_per_gpu) return amount_text(value) + " tokens/s";
  return value > 0 ? "out of memory" : "runs";
}

std::string signed_percent(double fraction) { return fmt::format("{:+.1f} %", 100 * fraction); }

std::string error_text(const Comparison& comparison) {
  if (comparison.quantity != Quantity::oom) return signed_percent(comparison.error);
  return comparison.error == 0 ? "as measured" : comparison.error > 0 ? "wrongly impossible" : "not foreseen";
}

Table row_table(const Validation& validation) {
  Table table{{{"run", "quantity", "predicted", "measured", "error"}}, 2};
  for (const Comparison& c : validation.comparisons) {
    table.rows.push_back({validation.measured.runs[c.run].id, std::string(name_of(c.quantity)),
                          amount(c.quantity, c.predicted), amount(c.quantity, c.measured), error_text(c)});
  }
  return table;
}

Table summary_table(const std::vector<GroupSummary>& groups, std::string_view of) {
  Table table{{{std::string(of), "quantity", "values", "median |error|", "90 % below", "bias", "median error"}}, 2};
  for (const GroupSummary& group : groups) {
    for (const auto& [quantity, errors] : group.quantities) {
      table.rows.push_back({group.name, quantity, std::to_string(errors.count), percent_text(errors.median_absolute),
                            percent_text(errors.p90_absolute), signed_percent(errors.bias),
                            signed_percent(errors.median)});
    }
  }
  return table;
}

std::string oom_sentence(const OomSummary& oom) {
  return fmt::format(
      "Of {} runs that ran out of memory {} were foreseen; of {} that did not {} were called impossible.", oom.ran_out,
      oom.foreseen, oom.ran, oom.called_impossible);
}

Table worst_table(const Validation& validation) {
  Table table{{{"run", "quantity", "predicted", "measured", "error", "largest terms of the prediction"}}, 2, 5};
  for (const std::size_t i : worst(validation, shown_worst)) {
    const Comparison& c = validation.comparisons[i];
    table.rows.push_back({validation.measured.runs[c.run].id, std::string(name_of(c.quantity)),
                          amount(c.quantity, c.predicted), amount(c.quantity, c.measured), error_text(c),
                          fmt::format("{}", fmt::join(c.terms, ", "))});
  }
  return table;
}

std::string aligned(const Table& table) {
  std::vector<std::size_t> widths(table.rows.front().size());
  for (const Cells& row : table.rows) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const Cells& row : table.rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      line += table.is_number(c) ? fmt::format("{}{:>{}}", c > 0 ? "  " : "", row[c], widths[c])
                                 : fmt::format("{}{:<{}}", c > 0 ? "  " : "", row[c], widths[c]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

std::string piped(const Table& table) {
  const auto line = [](const Cells& cells) {
    std::string text = "|";
    for (const std::string& content : cells) {
      text += ' ';
      for (const char c : content) {
        if (c == '|') text += '\\';
        text += c == '\n' ? ' ' : c;
      }
      text += " |";
    }
    return text + '\n';
  };
  std::string text = line(table.rows.front()) + '|';
  for (std::size_t c = 0; c < table.rows.front().size(); ++c) text += table.is_number(c) ? " ---: |" : " :--- |";
  text += '\n';
  for (std::size_t r = 1; r < table.rows.size(); ++r) text += line(table.rows[r]);
  return text;
}

/// The whole document; `table` and `heading` say how each is written.
std::string document(const Validation& validation, std::string (*heading)(std::string_view),
                     std::string (*write)(const Table&)) {
  const GroupSummary all = summarize_all(validation);
  std::string text = heading("Predicted against measured") + write(row_table(validation));
  if (!validation.not_expressed.empty()) {
    text += heading("Not expressed") + fmt::format("{} of {} runs:\n", all.not_expressed, all.runs);
    std::map<std::string, Cells> runs_by_reason;
    for (const auto& [run, reason] : validation.not_expressed) {
      runs_by_reason[reason].push_back(validation.measured.runs[run].id);
    }
    for (const auto& [reason, runs] : runs_by_reason) {
      text += fmt::format("- {}\n  {}: {}\n", reason, runs.size(), fmt::join(runs, ", "));
    }
  }
  text += heading("By source") + write(summary_table(summarize_by_source(validation), "source"));
  text += heading("By trust") + write(summary_table(summarize_by_trust(validation), "trust"));
  text += heading("Worst") + write(worst_table(validation));
  text += heading("Summary") + write(summary_table({all}, "runs"));
  return text +
         fmt::format("\n{}\n{} runs, {} of them not expressed.\n", oom_sentence(all.oom), all.runs, all.not_expressed);
}

std::string exact(double value) { return fmt::format("{}", value); }

}  // namespace

std::string render_validation_text(const Validation& validation) {
  return document(
             validation, [](std::string_view title) { return fmt::format("\n{}\n", title); }, aligned)
      .substr(1);
}

std::string render_validation_markdown(const Validation& validation) {
  return document(
             validation, [](std::string_view title) { return fmt::format("\n## {}\n\n", title); }, piped)
      .substr(1);
}

std::string render_validation_csv(const Validation& validation) {
  std::string text = "id,source,trust,quantity,predicted,measured,error,not_expressed\n";
  const auto name = [&](std::size_t index) {
    const MeasuredRun& run = validation.measured.runs[index];
    return csv_field(run.id) + ',' + csv_field(run.source) + ',' + csv_field(run.trust) + ',';
  };
  for (const Comparison& c : validation.comparisons) {
    text += name(c.run) +
            fmt::format("{},{},{},{},\n", name_of(c.quantity), exact(c.predicted), exact(c.measured), exact(c.error));
  }
  for (const auto& [run, reason] : validation.not_expressed) text += name(run) + ",,,," + csv_field(reason) + '\n';
  return text;
}

}  // namespace shardsim
