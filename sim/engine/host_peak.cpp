#include "sim/engine/host_peak.hpp"

#include <algorithm>

namespace shardsim {

namespace {

/// A program's levels at one instant: the highest within it, and what remains after it.
struct Change {
  Time instant;
  std::size_t share = 0;
  const HostLevel* highest = nullptr;
  const HostLevel* last = nullptr;
};

struct MergedPeak {
  std::int64_t bytes = 0;
  std::vector<const HostLevel*> at;  ///< by share; null where the program held nothing yet
};

template <class Measure>
std::vector<Change> changes_over_time(std::span<const HostShare> shares, Measure measure) {
  std::vector<Change> changes;
  for (std::size_t s = 0; s < shares.size(); ++s) {
    const std::size_t first = changes.size();
    for (const HostLevel& level : shares[s].levels) {
      if (changes.size() == first || changes.back().instant != level.instant) {
        changes.push_back({level.instant, s, &level, &level});
      }
      Change& change = changes.back();
      if (measure(level) > measure(*change.highest)) change.highest = &level;
      change.last = &level;
    }
  }
  std::stable_sort(changes.begin(), changes.end(),
                   [](const Change& a, const Change& b) { return a.instant < b.instant; });
  return changes;
}

template <class Measure>
MergedPeak merged_peak(std::span<const HostShare> shares, Measure measure) {
  const std::vector<Change> changes = changes_over_time(shares, measure);
  MergedPeak peak;
  peak.at.resize(shares.size());
  std::vector<const HostLevel*> now(shares.size());
  Bytes total;
  const auto move_to = [&](std::size_t share, const HostLevel* level) {
    const std::int64_t before = now[share] == nullptr ? 0 : measure(*now[share]);
    total += Bytes(measure(*level) - before) * shares[share].ranks;
    now[share] = level;
  };
  for (std::size_t i = 0; i < changes.size();) {
    std::size_t end = i;
    for (; end < changes.size() && changes[end].instant == changes[i].instant; ++end) {
      move_to(changes[end].share, changes[end].highest);
    }
    if (total.value() > peak.bytes) peak = {total.value(), now};
    for (; i < end; ++i) move_to(changes[i].share, changes[i].last);
  }
  return peak;
}

/// A program's levels of one stage, after the level that it enters the stage with.
std::vector<HostLevel> levels_in(std::span<const HostLevel> levels, std::size_t stage) {
  std::vector<HostLevel> inside;
  for (const HostLevel& level : levels) {
    if (level.stage < stage) inside.assign(1, level);
    if (level.stage == stage) inside.push_back(level);
  }
  return inside;
}

std::int64_t held(const HostLevel& level) { return (Bytes(level.pinned) + Bytes(level.pageable)).value(); }

HostStage stage_peak(std::span<const HostShare> shares, std::size_t stage) {
  std::vector<std::vector<HostLevel>> levels;
  for (const HostShare& share : shares) levels.push_back(levels_in(share.levels, stage));
  std::vector<HostShare> inside;
  for (std::size_t s = 0; s < shares.size(); ++s) inside.push_back({levels[s], shares[s].ranks});
  return {merged_peak(inside, held).bytes, merged_peak(inside, [](const HostLevel& l) { return l.pinned; }).bytes};
}

}  // namespace

HostOutcome host_peak(std::span<const HostShare> shares, std::size_t stages) {
  const MergedPeak both = merged_peak(shares, held);
  HostOutcome outcome;
  outcome.peak = both.bytes;
  outcome.pinned_peak = merged_peak(shares, [](const HostLevel& l) { return l.pinned; }).bytes;
  outcome.storage_peak = merged_peak(shares, [](const HostLevel& l) { return l.storage; }).bytes;
  outcome.at_peak.resize(shares.size());
  for (std::size_t s = 0; s < shares.size(); ++s) {
    if (both.at[s] == nullptr) continue;
    outcome.at_peak[s] = both.at[s]->instruction;
    outcome.pinned_at_peak += both.at[s]->pinned * shares[s].ranks;
    for (std::size_t c = 0; c < category_count; ++c) {
      outcome.by_category[c] += both.at[s]->by_category[c] * shares[s].ranks;
    }
  }
  for (std::size_t stage = 0; stage < stages; ++stage) outcome.by_stage.push_back(stage_peak(shares, stage));
  return outcome;
}

}  // namespace shardsim
