#include "model/core/suggest.hpp"

#include <algorithm>
#include <utility>

#include "model/core/error.hpp"

namespace shardsim {

namespace {

constexpr std::size_t longest_compared = 64;

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`
/// (optimal string alignment, the restricted Damerau-Levenshtein distance).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitution = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, substitution});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

/// Smaller is nearer. A name that continues the other is as near as one slip, however long the rest:
/// "a100" means "A100-SXM4-80GB" before it means "V100".
std::pair<std::size_t, std::size_t> remoteness(std::string_view name, std::string_view known) {
  const std::size_t distance = edit_distance(name, known);
  const bool prefix = !name.empty() && !known.empty() && (known.starts_with(name) || name.starts_with(known));
  return {prefix ? std::min<std::size_t>(distance, 1) : distance, distance};
}

}  // namespace

std::string normalized_name(std::string_view name) {
  std::string normal;
  for (char c : name) {
    if (c >= 'A' && c <= 'Z') normal += static_cast<char>(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) normal += c;
  }
  return normal;
}

std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> known, std::size_t count) {
  const std::string normal = normalized_name(name).substr(0, longest_compared);
  std::vector<std::pair<std::pair<std::size_t, std::size_t>, std::string>> ranked;
  for (const std::string& candidate : known) {
    ranked.emplace_back(remoteness(normal, normalized_name(candidate).substr(0, longest_compared)), candidate);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::string> nearest;
  for (std::size_t i = 0; i < std::min(count, ranked.size()); ++i) nearest.push_back(std::move(ranked[i].second));
  return nearest;
}

void throw_unknown_name(std::string_view kind, std::string_view name, std::string_view where,
                        std::span<const std::string> known) {
  const std::vector<std::string> nearest = nearest_names(name, known);
  std::string right = known.size() > nearest.size() ? "a known name such as " : "";
  for (std::size_t i = 0; i < nearest.size(); ++i) {
    if (i > 0) right += i + 1 == nearest.size() ? " or " : ", ";
    right += nearest[i];
  }
  throw UnknownName("unknown " + std::string(kind) + " '" + std::string(name) + "'", std::string(where), right);
}

}  // namespace shardsim
