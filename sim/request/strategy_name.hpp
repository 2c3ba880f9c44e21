// "zero3-offload" -> the algorithm and what it keeps in CPU memory.
#pragma once

#include <string>

#include "sim/request/option_text.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

struct StrategyChoice {
  StrategyKind kind = StrategyKind::single;
  Offload offload;
  std::string warning;  ///< where the runtime does something else than the name says; else empty
};

/// Throws InputError for a name that nobody knows, one that is not simulated yet, and an offload that the runtime
/// does not have, with the reason.
StrategyChoice parse_strategy(const OptionText& text);

/// One line on what the strategy does, for `shardsim list strategies -v`; `name` is one of strategy_names().
std::string describe_strategy(std::string_view name);

}  // namespace shardsim
