// Whole numbers of any size that the user may say: what leaves 64 bits is refused.
#pragma once

#include <cstdint>

#include "model/core/units.hpp"

namespace shardsim {

/// `what` names the result in the refusal ("tokens of a step").
constexpr std::int64_t checked_product(std::int64_t a, std::int64_t b, const char* what) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) throw_overflow(what);
  return product;
}

/// The nearest whole number.
std::int64_t checked_whole(double value, const char* what);

}  // namespace shardsim
