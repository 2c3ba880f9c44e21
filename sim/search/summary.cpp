#include "sim/search/summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace shardsim {

namespace {

bool beats(const std::vector<double>& a, const std::vector<double>& b) {
  bool better = false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] > b[i]) return false;
    better = better || a[i] < b[i];
  }
  return better;
}

/// "250 fit", "1 does not fit".
std::string counted(std::uint64_t count, const std::string& status) {
  if (status == "fits") return fmt::format("{} {}", count, count == 1 ? "fits" : "fit");
  if (status == "does not fit") return fmt::format("{} {} not fit", count, count == 1 ? "does" : "do");
  return fmt::format("{} {}", count, status);
}

}  // namespace

std::string objective_text(const Objective& objective, double value) {
  if (objective.figure.ends_with("_bytes")) return fmt::format("{:.2f} GiB", value / (1 << 30));
  if (objective.figure.ends_with("_s")) {
    if (objective.name == "step-time") return fmt::format("{:.4g} s", value);
    return fmt::format("{:.4g} /s", value);
  }
  if (objective.name == "cost-per-token") return fmt::format("{:.4g} $/M", value);
  if (objective.name == "energy-per-token") return fmt::format("{:.4g} J", value);
  return fmt::format("{:.4g}", value);
}

SweepSummary::SweepSummary(const SweepSpec& spec) : spec_(spec) {}

void SweepSummary::add(const std::string& line, const nlohmann::json& point) {
  const std::string status = point["status"];
  ++by_status_[status];
  constexpr std::size_t most_messages = 1000;
  if (point.contains("message") && (refusals_.size() < most_messages || refusals_.contains(point["message"]))) {
    ++refusals_[point["message"]];
  }
  if (status != "fits") return;
  ++fitting_;
  Candidate candidate{{}, line};
  for (const Objective& objective : spec_.pareto) {
    const nlohmann::json& value = point[std::string(objective.figure)];
    if (value.is_null()) return;
    candidate.scores.push_back(objective.smaller_is_better ? value.get<double>() : -value.get<double>());
  }
  keep_if_unbeaten(std::move(candidate));
}

void SweepSummary::keep_if_unbeaten(Candidate candidate) {
  for (const Candidate& other : front_) {
    if (beats(other.scores, candidate.scores) || other.scores == candidate.scores) return;
  }
  std::erase_if(front_, [&](const Candidate& other) { return beats(candidate.scores, other.scores); });
  front_.push_back(std::move(candidate));
}

std::string SweepSummary::table(const std::vector<const Candidate*>& rows) const {
  std::vector<std::vector<std::string>> cells(1);
  cells[0].push_back("index");
  for (const Axis& axis : spec_.space.axes) {
    if (axis.values.size() > 1) cells[0].push_back(axis.option);
  }
  for (const Objective& objective : spec_.pareto) cells[0].emplace_back(objective.name);
  for (const Candidate* row : rows) {
    const nlohmann::json point = nlohmann::json::parse(row->line);
    std::vector<std::string> line{point["index"].dump()};
    const std::vector<const std::string*> values = spec_.space.values_at(point["index"].get<std::uint64_t>());
    for (std::size_t a = 0; a < values.size(); ++a) {
      if (spec_.space.axes[a].values.size() > 1) line.push_back(*values[a]);
    }
    for (const Objective& objective : spec_.pareto) {
      line.push_back(objective_text(objective, point[std::string(objective.figure)].get<double>()));
    }
    cells.push_back(std::move(line));
  }
  std::string text;
  for (const auto& row : cells) {
    text += " ";
    for (std::size_t c = 0; c < row.size(); ++c) {
      std::size_t width = 0;
      for (const auto& other : cells) width = std::max(width, other[c].size());
      text += fmt::format(" {:>{}}", row[c], width);
    }
    text += "\n";
  }
  return text;
}

std::string SweepSummary::text(std::uint64_t points, std::size_t rows) const {
  std::uint64_t lines = 0;
  for (const auto& [status, count] : by_status_) lines += count;
  std::string text = fmt::format("{} point{}", points, points == 1 ? "" : "s");
  for (const char* status : {"fits", "does not fit", "refused", "failed"}) {
    const auto count = by_status_.find(status);
    if (count != by_status_.end()) text += ", " + counted(count->second, status);
  }
  if (lines < points) text += fmt::format(", {} left out by the rules", points - lines);
  text += "\n";
  std::vector<std::pair<std::uint64_t, std::string>> reasons;
  for (const auto& [message, count] : refusals_) reasons.emplace_back(count, message);
  std::sort(reasons.begin(), reasons.end(),
            [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
  constexpr std::size_t most_reasons = 3;
  for (std::size_t i = 0; i < std::min(most_reasons, reasons.size()); ++i) {
    text += fmt::format("  {} x {}\n", reasons[i].first, reasons[i].second);
  }
  if (front_.empty()) return text + "\nNone fits.\n";
  std::vector<const Candidate*> best;
  for (std::size_t o = 0; o < spec_.pareto.size(); ++o) {
    best.push_back(&*std::min_element(front_.begin(), front_.end(), [&](const Candidate& a, const Candidate& b) {
      return a.scores[o] < b.scores[o];
    }));
    text += fmt::format("\nBest by {}\n{}", spec_.pareto[o].name, table({best.back()}));
  }
  std::vector<const Candidate*> front;
  for (const Candidate& candidate : front_) front.push_back(&candidate);
  std::sort(front.begin(), front.end(), [](const Candidate* a, const Candidate* b) { return a->scores < b->scores; });
  const std::size_t whole = front.size();
  if (front.size() > rows) front.resize(rows);
  text += fmt::format("\nPareto front, {} point{}{}\n{}", whole, whole == 1 ? "" : "s",
                      whole > rows ? fmt::format(", the first {}", rows) : "", table(front));
  return text;
}

}  // namespace shardsim
