// What two requests differ in, and what comes of it, term by term.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/report/report.hpp"
#include "sim/request/option_text.hpp"

namespace shardsim {

struct DifferentOption {
  std::string name;                   ///< "strategy"
  std::array<std::string, 2> values;  ///< empty: not given
};

enum class TermUnit : std::uint8_t { bytes, seconds, tokens_per_second };
std::string_view unit_of(TermUnit quantity);

/// One figure of both reports.
struct Term {
  std::string part;  ///< "device memory", "host RAM", "step"
  std::string name;  ///< "activations"
  TermUnit quantity = TermUnit::bytes;
  std::array<double, 2> values{};
};

struct ReportComparison {
  std::vector<DifferentOption> options;
  std::vector<Term> terms;  ///< those that are zero in both reports left out
  std::array<std::string, 2> peak_at;
  std::array<std::string, 2> bound_by;
  std::array<bool, 2> fits{};
};

/// Of the fullest devices and hosts; `options` as they were written.
ReportComparison compare(const std::array<OptionTexts, 2>& options, const std::array<Report, 2>& reports);

}  // namespace shardsim
