// Explanations and comparisons in each form: text for 80 columns, Markdown, JSON.
#pragma once

#include <string>

#include "sim/explain/comparison.hpp"
#include "sim/explain/explanation.hpp"

namespace shardsim {

std::string render_text(const Explanation& explanation);
std::string render_markdown(const Explanation& explanation);
std::string render_json(const Explanation& explanation);

std::string render_text(const ReportComparison& comparison);
std::string render_markdown(const ReportComparison& comparison);
std::string render_json(const ReportComparison& comparison);

}  // namespace shardsim
