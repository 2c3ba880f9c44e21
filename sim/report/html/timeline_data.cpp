#include <algorithm>
#include <cmath>
#include <map>

#include "sim/report/critical_path.hpp"
#include "sim/report/group_name.hpp"
#include "sim/report/html/data.hpp"
#include "sim/report/run_trace.hpp"

namespace shardsim::html {

namespace {

constexpr std::size_t most_groups = 8;
constexpr std::size_t most_slices = 8000;  // of one group; more are joined with their neighbours

double seconds(Time time) { return std::round(time.seconds() * 1e9) / 1e9; }

/// Slices of one stream that are drawn as one.
struct Drawn {
  TraceSlice slice;
  std::size_t count = 1;
};

std::vector<Drawn> within(const TraceTrack& track, Time begin, Time end) {
  std::vector<Drawn> slices;
  for (const TraceSlice& slice : track.slices) {
    if (slice.end <= begin || slice.begin >= end) continue;
    slices.push_back({slice, 1});
    slices.back().slice.begin = std::max(slice.begin, begin);
    slices.back().slice.end = std::min(slice.end, end);
  }
  return slices;
}

/// Joins neighbours of one kind that are both shorter than `resolution` and no further apart.
std::vector<Drawn> joined(const std::vector<Drawn>& slices, Time resolution) {
  std::vector<Drawn> coarse;
  for (const Drawn& next : slices) {
    if (!coarse.empty()) {
      Drawn& last = coarse.back();
      const bool near = next.slice.begin - last.slice.end <= resolution;
      const bool small = next.slice.end - last.slice.begin <= resolution;
      if (near && small && last.slice.category == next.slice.category) {
        last.slice.end = next.slice.end;
        last.slice.bytes += next.slice.bytes;
        last.count += next.count;
        continue;
      }
    }
    coarse.push_back(next);
  }
  return coarse;
}

class Names {
 public:
  std::size_t number(const std::string& name) {
    const auto [entry, is_new] = numbers_.emplace(name, list_.size());
    if (is_new) list_.push_back(name);
    return entry->second;
  }
  const Json& list() const { return list_; }

 private:
  std::map<std::string, std::size_t> numbers_;
  Json list_ = Json::array();
};

/// Stretches of the critical path, joined where they follow each other on one track.
Json path_json(const Program& program, const std::vector<CriticalPiece>& path) {
  Json pieces = Json::array();
  std::size_t track = 0;
  Time end;
  for (const CriticalPiece& piece : path) {
    const std::size_t here =
        piece.task.valid() ? program.tasks[piece.task.index()].stream.index() : program.streams.size();
    if (!pieces.empty() && here == track && piece.begin <= end) {
      pieces.back()[2] = seconds(piece.end);
    } else {
      pieces.push_back({here, seconds(piece.begin), seconds(piece.end)});
    }
    track = here;
    end = piece.end;
  }
  return pieces;
}

Json group_json(const TraceProcess& process, const std::string& id, const Program& program,
                const ProgramOutcome& outcome, Time begin, Time end) {
  std::vector<std::vector<Drawn>> tracks;
  for (const TraceTrack& track : process.tracks) tracks.push_back(within(track, begin, end));
  Time resolution((end - begin).picoseconds() / 20000);
  const auto total = [&] {
    std::size_t slices = 0;
    for (const std::vector<Drawn>& track : tracks) slices += track.size();
    return slices;
  };
  for (; total() > most_slices; resolution = resolution * 2) {
    for (std::vector<Drawn>& track : tracks) track = joined(track, resolution);
  }
  Names names;
  Json tracks_json = Json::array(), slices = Json::array();
  for (std::size_t t = 0; t < tracks.size(); ++t) {
    tracks_json.push_back(process.tracks[t].name);
    for (const Drawn& drawn : tracks[t]) {
      Json slice = {t,
                    seconds(drawn.slice.begin),
                    seconds(drawn.slice.end),
                    names.number(drawn.slice.name),
                    names.number(std::string(drawn.slice.category)),
                    names.number(drawn.slice.where)};
      if (drawn.slice.bytes > 0 || drawn.count > 1) slice.push_back(std::round(drawn.slice.bytes));
      if (drawn.count > 1) slice.push_back(drawn.count);
      slices.push_back(std::move(slice));
    }
  }
  return {{"id", id},
          {"tracks", tracks_json},
          {"names", names.list()},
          {"slices", slices},
          {"critical", path_json(program, critical_path(program, outcome, begin, end))}};
}

}  // namespace

Json timeline_data(const Topology& topology, const Plan& plan, const Outcome& outcome) {
  const Time begin = outcome.step_begin, end = outcome.step_begin + outcome.step_time;
  const RunTrace trace = make_run_trace(plan, topology, outcome);
  Json groups = Json::array();
  for (std::size_t p = 0; p < plan.programs.size() && p < most_groups; ++p) {
    groups.push_back(group_json(trace.processes[p], group_name(topology, plan.programs[p]), plan.programs[p],
                                outcome.programs[p], begin, end));
  }
  return {{"begin", seconds(begin)}, {"end", seconds(end)}, {"slowest", outcome.slowest}, {"groups", groups}};
}

}  // namespace shardsim::html
