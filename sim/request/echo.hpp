// A request in the words of its options: what the report repeats, so that a result says what it is a result of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "sim/request/request.hpp"

namespace shardsim {

/// `monostate`: the option does not apply, or is left to the runtime.
using OptionValue = std::variant<std::monostate, bool, std::int64_t, double, std::string>;

/// Every option that can change the result, by its name, in a fixed order. Sizes are bytes.
std::vector<std::pair<std::string_view, OptionValue>> echo(const Request& request);

/// As a person writes it: "on", "4096", "zero3"; empty for what does not apply.
std::string to_text(const OptionValue& value);

}  // namespace shardsim
