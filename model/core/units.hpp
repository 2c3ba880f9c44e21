// Units as types: bytes and picoseconds are exact integers, rates are doubles,
// and only the products that mean something compile.
#pragma once

#include <compare>
#include <cstdint>

namespace shardsim {

/// Raised by checked arithmetic when a result leaves 64 bits. It reaches the user as a
/// refusal of the request (exit 2), because only an absurd request can cause it.
[[noreturn]] void throw_overflow(const char* operation);

/// A number of bytes; arithmetic is checked, so a wrong number is never returned.
class Bytes {
 public:
  constexpr Bytes() = default;
  constexpr explicit Bytes(std::int64_t value) : value_(value) {}
  constexpr std::int64_t value() const { return value_; }
  constexpr double as_double() const { return static_cast<double>(value_); }
  constexpr auto operator<=>(const Bytes&) const = default;

  constexpr Bytes& operator+=(Bytes other) {
    if (__builtin_add_overflow(value_, other.value_, &value_)) throw_overflow("bytes + bytes");
    return *this;
  }
  constexpr Bytes& operator-=(Bytes other) {
    if (__builtin_sub_overflow(value_, other.value_, &value_)) throw_overflow("bytes - bytes");
    return *this;
  }
  constexpr Bytes& operator*=(std::int64_t factor) {
    if (__builtin_mul_overflow(value_, factor, &value_)) throw_overflow("bytes * count");
    return *this;
  }
  friend constexpr Bytes operator+(Bytes a, Bytes b) { return a += b; }
  friend constexpr Bytes operator-(Bytes a, Bytes b) { return a -= b; }
  friend constexpr Bytes operator*(Bytes a, std::int64_t n) { return a *= n; }
  friend constexpr Bytes operator*(std::int64_t n, Bytes a) { return a *= n; }

 private:
  std::int64_t value_ = 0;
};

/// A span or an instant of simulated time, in integer picoseconds (range: 106 days).
class Time {
 public:
  constexpr Time() = default;
  constexpr explicit Time(std::int64_t picoseconds) : ps_(picoseconds) {}
  /// Rounds up to the next picosecond; refuses what does not fit.
  static Time from_seconds(double seconds);
  constexpr std::int64_t picoseconds() const { return ps_; }
  constexpr double seconds() const { return static_cast<double>(ps_) * 1e-12; }
  constexpr auto operator<=>(const Time&) const = default;

  constexpr Time& operator+=(Time other) {
    if (__builtin_add_overflow(ps_, other.ps_, &ps_)) throw_overflow("time + time");
    return *this;
  }
  constexpr Time& operator-=(Time other) {
    if (__builtin_sub_overflow(ps_, other.ps_, &ps_)) throw_overflow("time - time");
    return *this;
  }
  friend constexpr Time operator+(Time a, Time b) { return a += b; }
  friend constexpr Time operator-(Time a, Time b) { return a -= b; }
  friend constexpr Time operator*(Time a, std::int64_t n) {
    std::int64_t product = 0;
    if (__builtin_mul_overflow(a.ps_, n, &product)) throw_overflow("time * count");
    return Time(product);
  }

 private:
  std::int64_t ps_ = 0;
};

/// Floating-point operations (a multiply-add counts as two).
struct Flops {
  double value = 0;
  auto operator<=>(const Flops&) const = default;
  friend Flops operator+(Flops a, Flops b) { return {a.value + b.value}; }
  friend Flops operator*(Flops a, double factor) { return {a.value * factor}; }
};

/// Bytes a second.
struct Bandwidth {
  double bytes_per_second = 0;
  auto operator<=>(const Bandwidth&) const = default;
  friend Bandwidth operator*(Bandwidth a, double factor) { return {a.bytes_per_second * factor}; }
};

/// Floating-point operations a second.
struct FlopRate {
  double flops_per_second = 0;
  auto operator<=>(const FlopRate&) const = default;
  friend FlopRate operator*(FlopRate a, double factor) { return {a.flops_per_second * factor}; }
};

/// Durations round up; a zero rate with work left is a fault of ours and asserts.
Time operator/(Bytes amount, Bandwidth rate);
Time operator/(Flops amount, FlopRate rate);

/// The smallest multiple of `granule` (> 0) that is not below `amount` (>= 0).
constexpr std::int64_t round_up(std::int64_t amount, std::int64_t granule) {
  std::int64_t bumped = 0;
  if (__builtin_add_overflow(amount, granule - 1, &bumped)) throw_overflow("rounding up");
  return bumped / granule * granule;
}
constexpr std::int64_t ceil_div(std::int64_t amount, std::int64_t parts) {
  return amount / parts + (amount % parts != 0 ? 1 : 0);
}

}  // namespace shardsim
