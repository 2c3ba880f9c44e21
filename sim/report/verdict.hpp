// The first thing that a person wants to know, as plain sentences.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/report/report.hpp"

namespace shardsim {

/// "FITS: 61.2 of 79.2 GiB on each of 4 x A100-SXM4-80GB", or "DOES NOT FIT: ..." for the resource that is exceeded,
/// with the arithmetic of the model's states in the lines after it.
struct Verdict {
  std::string headline;
  std::vector<std::string> reasons;  ///< empty when it fits
};
Verdict verdict(const Report& report);

/// What Fit::tight means, for people.
inline constexpr std::string_view tight_meaning =
    "one measured run in ten needed so much more than predicted that this would not fit";

/// "llama-2-7b (6.74 G parameters), zero3, bf16-mixed, micro-batch 1 of 4096 tokens, 4 ranks on 4xA100-SXM4-80GB".
std::string scenario_line(const Report& report);

}  // namespace shardsim
