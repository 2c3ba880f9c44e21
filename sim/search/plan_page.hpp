// The machines of a plan as a page to look at.
#pragma once

#include <string>
#include <vector>

#include "sim/search/procurement.hpp"

namespace shardsim {

/// `command` is what was typed, `text` the same plan as text.
std::string render_plan_html(const std::vector<Offer>& offers, const std::vector<WhatIf>& what_ifs,
                             const Constraints& constraints, const std::string& command, const std::string& text);

}  // namespace shardsim
