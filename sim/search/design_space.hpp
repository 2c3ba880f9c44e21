// Many requests at once: a base, axes that vary options of it, and rules that leave points out.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "sim/request/option_text.hpp"

namespace shardsim {

struct Axis {
  std::string option;
  std::vector<std::string> values;  ///< as one would type them
  std::string where;                ///< for messages
  bool is_whole = false;            ///< are_whole(values): results give them as numbers
};

/// True where each is a whole number, written as JSON would write it ("4096", not "4k" or "08").
bool are_whole(const std::vector<std::string>& values);

/// A condition on one option, or on the product of several: one of `values`, or a number within bounds.
struct Condition {
  std::vector<std::string> options;
  std::vector<std::string> values;  ///< empty: the bounds count
  bool negated = false;
  double least = -std::numeric_limits<double>::infinity();  ///< inclusive
  double most = std::numeric_limits<double>::infinity();
  std::string where;
};
/// A point that meets all conditions is left out.
using SkipRule = std::vector<Condition>;

/// The product of the axes; the last one varies fastest.
class DesignSpace {
 public:
  OptionTexts base;
  std::vector<Axis> axes;
  std::vector<SkipRule> skip_rules;

  std::uint64_t points() const;
  /// The value of each axis at a point.
  std::vector<const std::string*> values_at(std::uint64_t index) const;
  /// Base and axes together.
  OptionTexts texts_at(std::uint64_t index) const;
  bool skips(const OptionTexts& texts) const;

  /// Everything that decides what the points are, in a canonical form.
  std::string canonical() const;
};

}  // namespace shardsim
