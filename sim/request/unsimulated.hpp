// Options and values that the field knows and this version does not simulate: each is refused by name, never ignored.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "sim/request/option_text.hpp"

namespace shardsim {

/// "--optimizer lion is not simulated yet; available: adamw".
[[noreturn]] void throw_not_simulated(const OptionText& text, std::string_view available);

/// Refuses every option of which only one value (or none) is simulated, unless it says just that value:
/// InputError "... is not simulated yet", or an unknown name with the nearest known ones.
void refuse_unsimulated_options(const OptionTexts& texts);

}  // namespace shardsim
