#include "model/core/units.hpp"

#include <cmath>
#include <string>

#include "model/core/check.hpp"
#include "model/core/checked.hpp"
#include "model/core/error.hpp"

namespace shardsim {

void throw_overflow(const char* operation) {
  throw InputError("the request is too large", std::string("64-bit overflow in ") + operation,
                   "a smaller model, batch, sequence or machine");
}

std::int64_t checked_whole(double value, const char* what) {
  constexpr double most = 9.2e18;
  if (!(std::abs(value) < most)) throw_overflow(what);
  return std::llround(value);
}

Time Time::from_seconds(double seconds) {
  SHARDSIM_CHECK(std::isfinite(seconds) && seconds >= 0, "a duration is finite and not negative");
  const double picoseconds = std::ceil(seconds * 1e12);
  if (picoseconds >= 9.2e18) throw_overflow("time beyond 106 days");
  return Time(static_cast<std::int64_t>(picoseconds));
}

Time operator/(Bytes amount, Bandwidth rate) {
  if (amount.value() == 0) return Time{};
  SHARDSIM_CHECK(rate.bytes_per_second > 0, "bytes need a bandwidth to move");
  return Time::from_seconds(amount.as_double() / rate.bytes_per_second);
}

Time operator/(Flops amount, FlopRate rate) {
  if (amount.value == 0) return Time{};
  SHARDSIM_CHECK(rate.flops_per_second > 0, "work needs a rate to be done");
  return Time::from_seconds(amount.value / rate.flops_per_second);
}

}  // namespace shardsim
