// What each link carries over simulated time.
#pragma once

#include <vector>

#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// Bytes a second from an instant on.
struct RateSample {
  Time instant;
  double rate = 0;
};

/// By PlanLink, each by instant; empty for a link that carries nothing. The rates are the engine's own: all transfers
/// that flow at an instant share their links max-min fairly.
std::vector<std::vector<RateSample>> link_rates(const Plan& plan, const Outcome& outcome);

}  // namespace shardsim
