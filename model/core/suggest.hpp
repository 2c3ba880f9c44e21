// Near names for a name that nobody knows.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/core/error.hpp"

namespace shardsim {

/// Lower case, letters and digits only: "A100-SXM4-80GB" and "a100 sxm4 80gb" are one name.
std::string normalized_name(std::string_view name);
/// Up to `count` known names, nearest first (Damerau-Levenshtein over normalized names, prefixes favoured).
std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> known,
                                       std::size_t count = 3);
/// A name that nobody knows, whatever else is asked for.
class UnknownName : public InputError {
 public:
  using InputError::InputError;
};

/// "unknown device 'A10O'" with the nearest names as what would be right; always throws UnknownName.
[[noreturn]] void throw_unknown_name(std::string_view kind, std::string_view name, std::string_view where,
                                     std::span<const std::string> known);

}  // namespace shardsim
