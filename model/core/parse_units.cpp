#include "model/core/parse_units.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <string>

#include "model/core/error.hpp"

namespace shardsim {

namespace {

__extension__ using Wide = unsigned __int128;

/// What is being read, for the messages.
struct Source {
  std::string_view text;
  std::string_view where;
  const char* right;  ///< what would be right

  [[noreturn]] void refuse(const std::string& problem) const {
    constexpr std::size_t longest = 60;
    std::string quoted(text.substr(0, longest));
    if (text.size() > longest) quoted += "...";
    throw InputError("'" + quoted + "' " + problem, std::string(where), right);
  }
};

/// A text split into an unsigned decimal number and what follows it.
struct Quantity {
  std::string_view number;
  std::string_view unit;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::size_t skip_digits(std::string_view text, std::size_t at) {
  while (at < text.size() && is_digit(text[at])) ++at;
  return at;
}

/// digits [. digits] [e [sign] digits]; an 'e' that no digit follows belongs to the unit.
Quantity split(const Source& source) {
  const std::string_view text = trimmed(source.text);
  if (text.empty()) source.refuse("is empty");
  if (text[0] == '-') source.refuse("is negative");
  std::size_t end = skip_digits(text, 0);
  std::size_t digits = end;
  if (end < text.size() && text[end] == '.') {
    const std::size_t fraction = end + 1;
    end = skip_digits(text, fraction);
    digits += end - fraction;
  }
  if (digits == 0) source.refuse("does not start with a number");
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    std::size_t exponent = end + 1;
    if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
    const std::size_t after = skip_digits(text, exponent);
    if (after > exponent) end = after;
  }
  return {text.substr(0, end), trimmed(text.substr(end))};
}

/// digits * 10^exponent, exactly.
struct Decimal {
  Wide digits = 0;
  std::int64_t exponent = 0;
};

Decimal decimal(std::string_view number, const Source& source) {
  // With a unit of at most 2^50 this many digits stay within 128 bits.
  constexpr int most_digits = 22;
  constexpr std::int64_t largest_exponent = 1'000'000;
  Decimal result;
  int significant = 0;
  std::int64_t dropped_zeros = 0;
  bool fraction = false;
  std::size_t at = 0;
  for (; at < number.size() && (is_digit(number[at]) || number[at] == '.'); ++at) {
    if (number[at] == '.') {
      fraction = true;
      continue;
    }
    if (fraction) --result.exponent;
    if (number[at] == '0') {  // zeros count only when a digit follows
      ++dropped_zeros;
      continue;
    }
    significant =
        significant == 0 ? 1 : significant + 1 + static_cast<int>(std::min<std::int64_t>(dropped_zeros, most_digits));
    if (significant > most_digits) source.refuse("has more digits than any quantity here");
    for (; result.digits != 0 && dropped_zeros > 0; --dropped_zeros) result.digits *= 10;
    dropped_zeros = 0;
    result.digits = result.digits * 10 + static_cast<unsigned>(number[at] - '0');
  }
  result.exponent += dropped_zeros;
  if (at < number.size()) {
    std::string_view exponent = number.substr(at + 1);
    const bool negative = exponent[0] == '-';
    if (!is_digit(exponent[0])) exponent.remove_prefix(1);
    std::int64_t power = 0;
    for (char c : exponent) power = std::min(power * 10 + (c - '0'), largest_exponent);
    result.exponent += negative ? -power : power;
  }
  return result;
}

enum class Rounding : std::uint8_t { nearest, up, none };

/// number * factor as an integer, exactly before the one rounding.
std::int64_t integer(std::string_view number, Wide factor, Rounding rounding, const Source& source) {
  constexpr Wide limit = std::numeric_limits<std::int64_t>::max();
  const Decimal value = decimal(number, source);
  Wide whole = value.digits * factor;
  if (whole == 0) return 0;
  for (std::int64_t i = 0; i < value.exponent && whole <= limit; ++i) whole *= 10;
  if (value.exponent < 0) {
    constexpr int largest_power_of_ten = 38;
    Wide divisor = 1;
    const bool vanishes = value.exponent < -largest_power_of_ten;
    for (std::int64_t i = value.exponent; i < 0 && !vanishes; ++i) divisor *= 10;
    const Wide rest = vanishes ? whole : whole % divisor;
    whole = vanishes ? 0 : whole / divisor;
    if (rest != 0 && rounding == Rounding::none) source.refuse("is not a whole number");
    if (rest != 0 && rounding == Rounding::up) ++whole;
    if (rounding == Rounding::nearest && !vanishes && rest >= divisor - rest) ++whole;
  }
  if (whole > limit) source.refuse("is out of range");
  return static_cast<std::int64_t>(whole);
}

double real(std::string_view number, double factor, const Source& source) {
  constexpr double most = 1e30;  // of bytes or FLOPs a second; sums and products of some stay finite
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc{} || end != number.data() + number.size() || value * factor > most) {
    source.refuse("is out of range");
  }
  return value * factor;
}

/// k (or K), M, G, T, P, with or without a following 'i'; removed from the unit's front. Without prefix: 1.
Wide take_prefix(std::string_view& unit) {
  constexpr std::string_view prefixes = "kMGTP";
  if (unit.empty()) return 1;
  const auto power = prefixes.find(unit[0] == 'K' ? 'k' : unit[0]);
  if (power == std::string_view::npos) return 1;
  const bool binary = unit.size() > 1 && unit[1] == 'i';
  unit.remove_prefix(binary ? 2 : 1);
  Wide factor = 1;
  for (std::size_t i = 0; i <= power; ++i) factor *= binary ? 1024 : 1000;
  return factor;
}

void require_unit(const Quantity& quantity, const Source& source) {
  if (quantity.unit.empty()) source.refuse("lacks a unit");
}

[[noreturn]] void refuse_unit(std::string_view unit, const char* quantity, const Source& source) {
  constexpr std::size_t longest = 20;
  source.refuse("ends in '" + std::string(unit.substr(0, longest)) + "', which is no unit of " + quantity);
}

/// `thousand` is what "k" stands for.
std::int64_t count(const Source& source, Wide thousand) {
  const Quantity quantity = split(source);
  Wide factor = 1;
  if (quantity.unit == "k" || quantity.unit == "K") {
    factor = thousand;
  } else if (quantity.unit == "M") {
    factor = 1'000'000;
  } else if (quantity.unit == "B" || quantity.unit == "G") {
    factor = 1'000'000'000;
  } else if (quantity.unit == "T") {
    factor = 1'000'000'000'000;
  } else if (!quantity.unit.empty()) {
    refuse_unit(quantity.unit, "counting", source);
  }
  return integer(quantity.number, factor, Rounding::none, source);
}

}  // namespace

Bytes parse_bytes(std::string_view text, std::string_view where) {
  const Source source{text, where, "a size such as \"80 GiB\" or \"64 GB\""};
  const Quantity quantity = split(source);
  require_unit(quantity, source);
  std::string_view unit = quantity.unit;
  const Wide factor = take_prefix(unit);
  if (unit != "B") refuse_unit(quantity.unit, "memory", source);
  return Bytes(integer(quantity.number, factor, Rounding::nearest, source));
}

Bandwidth parse_bandwidth(std::string_view text, std::string_view where) {
  const Source source{text, where, "a bandwidth such as \"450 GB/s\" or \"400 Gb/s\""};
  const Quantity quantity = split(source);
  require_unit(quantity, source);
  std::string_view unit = quantity.unit;
  double factor = static_cast<double>(take_prefix(unit));
  if (unit == "b/s" || unit == "bps") {
    factor /= 8;
  } else if (unit != "B/s") {
    refuse_unit(quantity.unit, "bandwidth", source);
  }
  return {real(quantity.number, factor, source)};
}

Time parse_time(std::string_view text, std::string_view where) {
  const Source source{text, where, "a time such as \"1.2 us\", in ns, us, ms or s, below 106 days"};
  const Quantity quantity = split(source);
  require_unit(quantity, source);
  std::optional<Wide> picoseconds;
  if (quantity.unit == "ns") picoseconds = 1'000;
  if (quantity.unit == "us") picoseconds = 1'000'000;
  if (quantity.unit == "ms") picoseconds = 1'000'000'000;
  if (quantity.unit == "s") picoseconds = 1'000'000'000'000;
  if (!picoseconds) refuse_unit(quantity.unit, "time", source);
  return Time(integer(quantity.number, *picoseconds, Rounding::up, source));
}

FlopRate parse_flop_rate(std::string_view text, std::string_view where) {
  const Source source{text, where, "a rate such as \"312 TFLOPS\" or \"1.2 PFLOP/s\""};
  const Quantity quantity = split(source);
  require_unit(quantity, source);
  std::string_view unit = quantity.unit;
  const auto factor = static_cast<double>(take_prefix(unit));
  const bool binary = quantity.unit.substr(1, 1) == "i";
  if (binary || (unit != "FLOPS" && unit != "FLOP/s")) refuse_unit(quantity.unit, "computing speed", source);
  return {real(quantity.number, factor, source)};
}

std::int64_t parse_count(std::string_view text, std::string_view where) {
  return count({text, where, "a whole number such as \"4096\", \"300M\" or \"1.5e9\""}, 1000);
}

std::int64_t parse_length(std::string_view text, std::string_view where) {
  return count({text, where, "a whole number such as \"4096\" or \"4k\""}, 1024);
}

}  // namespace shardsim
