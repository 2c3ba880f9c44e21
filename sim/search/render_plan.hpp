// Ranked machines as text, Markdown and JSON.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "sim/search/procurement.hpp"

namespace shardsim {

struct RankedPlan {
  const std::vector<Offer>& offers;     ///< best first
  const std::vector<WhatIf>& what_ifs;  ///< about the first of them
  const Constraints& constraints;
  std::size_t rows;  ///< how many machines text and Markdown show
};

std::string render_plan_text(const RankedPlan& plan);
std::string render_plan_markdown(const RankedPlan& plan);
/// All offers, under the schema "shardsim.plan/1".
std::string render_plan_json(const RankedPlan& plan);

}  // namespace shardsim
