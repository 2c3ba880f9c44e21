// How the reports write numbers: memory in GiB, bandwidth in GB/s, durations in the unit that suits them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shardsim {

/// "61.2" (no unit, so that columns can align), in GiB = 2^30 B.
std::string in_gib(std::int64_t bytes, int decimals = 1);
/// "600.0 GB/s", 1e9 B a second.
std::string bandwidth_text(double bytes_per_second);
/// "1.234 s", "12.34 ms", "5.6 us".
std::string duration_text(double seconds);
/// "7.24 G", "125 M", "512": powers of ten.
std::string count_text(double count);
/// "13 277": thousands apart.
std::string grouped_digits(double number);
/// "0.42", "13.5", "1 234": three digits or all before the point.
std::string amount_text(double amount);
/// Of a whole run: "42.0 min", "13.5 h", "7.25 days".
std::string run_time_text(double hours);
/// "1 234 USD", or that the price is unknown.
std::string cost_text(const std::optional<double>& usd);
/// "45.2 %".
std::string percent_text(double fraction);

/// A bar of up to `cells` characters for a fraction of 0 to 1 (beyond is cut), in eighths of a cell.
std::string bar(double fraction, int cells);
/// Words in lines of up to `width` characters, each indented; the first line by `first` instead.
std::string wrapped(std::string_view text, std::string_view first, std::string_view indent, std::size_t width = 100);

}  // namespace shardsim
