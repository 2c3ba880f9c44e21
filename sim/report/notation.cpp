#include "sim/report/notation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace shardsim {

std::string in_gib(std::int64_t bytes, int decimals) {
  return fmt::format("{:.{}f}", static_cast<double>(bytes) / (1024.0 * 1024 * 1024), decimals);
}

std::string bandwidth_text(double bytes_per_second) { return fmt::format("{:.1f} GB/s", bytes_per_second / 1e9); }

std::string duration_text(double seconds) {
  if (seconds == 0) return "0 s";
  if (seconds < 1e-3) return fmt::format("{:.1f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.3f} s", seconds);
}

std::string count_text(double count) {
  if (count >= 1e12) return fmt::format("{:.2f} T", count / 1e12);
  if (count >= 1e9) return fmt::format("{:.2f} G", count / 1e9);
  if (count >= 1e6) return fmt::format("{:.0f} M", count / 1e6);
  return fmt::format("{:.0f}", count);
}

std::string grouped_digits(double number) {
  std::string digits = fmt::format("{:.0f}", number);
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3;) digits.insert(i -= 3, 1, ' ');
  return digits;
}

std::string amount_text(double amount) {
  if (amount < 10) return fmt::format("{:.2f}", amount);
  if (amount < 100) return fmt::format("{:.1f}", amount);
  return grouped_digits(amount);
}

std::string run_time_text(double hours) {
  if (hours < 1) return fmt::format("{:.1f} min", hours * 60);
  if (hours < 48) return fmt::format("{:.1f} h", hours);
  return amount_text(hours / 24) + " days";
}

std::string cost_text(const std::optional<double>& usd) {
  return usd ? amount_text(*usd) + " USD" : "unknown: --price says what an hour costs";
}

std::string percent_text(double fraction) { return fmt::format("{:.1f} %", fraction * 100); }

std::string bar(double fraction, int cells) {
  constexpr std::array<std::string_view, 8> eighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const double clamped = std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) : 0;
  const auto filled = static_cast<std::size_t>(std::lround(clamped * 8 * cells));
  std::string text;
  for (std::size_t cell = 0; cell < filled / 8; ++cell) text += "█";
  return text.append(eighths[filled % 8]);
}

std::string wrapped(std::string_view text, std::string_view first, std::string_view indent, std::size_t width) {
  std::string lines;
  std::string line(first);
  bool empty = true;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    if (!empty && line.size() + 1 + word.size() > width) {
      lines += line + "\n";
      line = indent;
      empty = true;
    }
    if (!word.empty()) {
      if (!empty) line += ' ';
      line += word;
      empty = false;
    }
    begin = end + 1;
  }
  return lines + line + "\n";
}

}  // namespace shardsim
