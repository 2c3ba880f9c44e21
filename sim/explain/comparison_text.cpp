// Two requests side by side, for people: columns of text, tables of Markdown.
#include <fmt/format.h>

#include <cmath>

#include "sim/explain/render.hpp"
#include "sim/report/markdown_table.hpp"
#include "sim/report/notation.hpp"

namespace shardsim {

namespace {

std::string amount(TermUnit quantity, double value) {
  switch (quantity) {
    case TermUnit::bytes:
      return fmt::format("{:.2f} GiB", value / static_cast<double>(std::int64_t{1} << 30));
    case TermUnit::seconds:
      return duration_text(value);
    case TermUnit::tokens_per_second:
      return grouped_digits(value);
  }
  return "";
}

std::string change(const Term& term) {
  const double difference = term.values[1] - term.values[0];
  return (difference < 0 ? "-" : "+") + amount(term.quantity, std::abs(difference));
}

std::string or_dash(const std::string& value) { return value.empty() ? "-" : value; }

}  // namespace

std::string render_text(const ReportComparison& comparison) {
  std::string text = fmt::format("{:<30} {:>15} {:>15} {:>14}\n", "", "A", "B", "B - A");
  for (const DifferentOption& option : comparison.options) {
    text +=
        fmt::format("{:<30} {:>15} {:>15}\n", "--" + option.name, or_dash(option.values[0]), or_dash(option.values[1]));
  }
  std::string part;
  for (const Term& term : comparison.terms) {
    if (part != term.part) text += (part = term.part) + "\n";
    text += fmt::format("{:<30} {:>15} {:>15} {:>14}\n", "  " + term.name, amount(term.quantity, term.values[0]),
                        amount(term.quantity, term.values[1]), change(term));
  }
  text += fmt::format("peak: A in {}; B in {}\n", comparison.peak_at[0], comparison.peak_at[1]);
  text += fmt::format("bound by: A {}; B {}\n", comparison.bound_by[0], comparison.bound_by[1]);
  const auto verdict = [](bool fits) { return fits ? "fits" : "does not fit"; };
  return text + fmt::format("A {}; B {}\n", verdict(comparison.fits[0]), verdict(comparison.fits[1]));
}

std::string render_markdown(const ReportComparison& comparison) {
  std::string text;
  MarkdownTable table(text);
  table.head({"", "A", "B", "B - A"});
  for (const DifferentOption& option : comparison.options) {
    table.row({"`--" + option.name + "`", or_dash(option.values[0]), or_dash(option.values[1]), ""});
  }
  for (const Term& term : comparison.terms) {
    table.row({term.part + ": " + term.name, amount(term.quantity, term.values[0]),
               amount(term.quantity, term.values[1]), change(term)});
  }
  table.row({"peak", comparison.peak_at[0], comparison.peak_at[1], ""});
  table.row({"bound by", comparison.bound_by[0], comparison.bound_by[1], ""});
  table.row({"fits", comparison.fits[0] ? "yes" : "no", comparison.fits[1] ? "yes" : "no", ""});
  return text;
}

}  // namespace shardsim
