#include "sim/engine/device_replays.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace shardsim {

namespace {

/// A program's script with the sizes of this run.
struct Part {
  const Program* program = nullptr;
  const DeviceScript* script = nullptr;
  DeviceTimes times;
  std::size_t reached = 0;  ///< lines
  std::vector<std::int64_t> bytes;
  std::span<const Forerunner> forerunners;
  std::int64_t limit = no_limit;  ///< to replay it under
  MemoryCache::Key key;
  std::shared_ptr<const DeviceMemory> memory;  ///< null: still to be replayed
  std::optional<std::size_t> from;             ///< part that it branches off from,
  std::size_t start = 0;                       ///< and the line where it does
  bool is_twin = false;                        ///< of that part, throughout
  std::optional<DeviceReplay> begun;           ///< the replay up to there
  struct Branch {
    std::size_t line = 0;
    std::size_t part = 0;
  };
  std::vector<Branch> branches;
};

bool equal_devices(const Program& one, const Program& other) {
  return memory_limit(one) == memory_limit(other) && one.capacity_bytes == other.capacity_bytes &&
         one.expandable_segments == other.expandable_segments && one.streams.size() == other.streams.size();
}

/// How many lines the two have in common, sizes included.
std::size_t common(const Part& one, const Part& other, std::size_t lines) {
  lines = std::min({lines, one.reached, other.reached});
  const std::size_t most = std::min(one.bytes.size(), other.bytes.size());
  const auto [a, b] =
      std::mismatch(one.bytes.begin(), one.bytes.begin() + static_cast<std::ptrdiff_t>(most), other.bytes.begin());
  const auto same = static_cast<std::size_t>(a - one.bytes.begin());
  return same == most ? lines : std::min<std::size_t>(lines, one.script->allocations[same].line);
}

/// Each part that is still to be replayed branches off from the forerunner with which it has most in common.
void plan_branches(std::vector<Part>& parts) {
  for (std::size_t p = 0; p < parts.size(); ++p) {
    if (parts[p].memory != nullptr) continue;
    std::size_t lines_in_common = 0, from = p;
    for (const Forerunner& earlier : parts[p].forerunners) {
      const Part& part = parts[earlier.program];
      if (part.memory != nullptr || part.limit != parts[p].limit) continue;
      const std::size_t lines = common(part, parts[p], earlier.lines);
      if (lines > lines_in_common) {
        lines_in_common = lines;
        from = earlier.program;
      }
    }
    if (from == p) continue;
    parts[p].is_twin = lines_in_common == parts[p].reached && lines_in_common == parts[from].reached &&
                       parts[p].script->hash == parts[from].script->hash;
    // Where that part had not yet begun by itself, the two were still the one it branched off from.
    while (!parts[p].is_twin && parts[from].from && lines_in_common <= parts[from].start) from = *parts[from].from;
    parts[p].from = from;
    parts[p].start = lines_in_common;
    if (!parts[p].is_twin) parts[from].branches.push_back({lines_in_common, p});
  }
}

void replay(std::vector<Part>& parts, std::size_t p, std::uint16_t steps) {
  Part& part = parts[p];
  DeviceReplay replay =
      part.begun ? std::move(*part.begun) : DeviceReplay(*part.program, *part.script, steps, part.limit);
  std::sort(part.branches.begin(), part.branches.end(),
            [](const Part::Branch& a, const Part::Branch& b) { return a.line < b.line; });
  for (const Part::Branch& branch : part.branches) {
    replay.play(*part.script, branch.line, part.bytes, part.times);
    parts[branch.part].begun = replay.branch(*parts[branch.part].script);
  }
  replay.play(*part.script, part.reached, part.bytes, part.times);
  part.memory = std::make_shared<const DeviceMemory>(replay.finish(*part.script));
}

/// Gives each part that has none its memory.
void replay_missing(std::vector<Part>& parts, std::uint16_t steps, MemoryCache* cache) {
  const auto is_kept = [&](const Part& part) { return cache != nullptr && !part.script->waits_for_streams; };
  for (Part& part : parts) {
    if (part.memory == nullptr && is_kept(part)) part.memory = cache->find(part.key);
  }
  for (Part& part : parts) {
    part.from.reset();
    part.start = 0;
    part.is_twin = false;
    part.branches.clear();
  }
  plan_branches(parts);
  for (std::size_t p = 0; p < parts.size(); ++p) {
    Part& part = parts[p];
    if (part.is_twin) {
      part.memory = parts[*part.from].memory;
    } else if (part.memory == nullptr) {
      replay(parts, p, steps);
      if (is_kept(part)) cache->keep(part.key, part.memory);
    }
    part.begun.reset();
  }
}

void replay_under(std::int64_t limit, Part& part) {
  part.limit = limit;
  part.key = MemoryCache::under(part.key, limit);
  part.memory = nullptr;
}

/// What is larger than the device whatever is given back is replayed as on one that presses all the time; the others
/// without a limit, and under their own where that turns out to matter.
std::vector<std::shared_ptr<const DeviceMemory>> replay_under_limits(std::vector<Part>& parts, std::uint16_t steps,
                                                                     MemoryCache* cache) {
  for (Part& part : parts) {
    if (most_live(*part.script, part.reached, part.bytes) > memory_limit(*part.program)) replay_under(0, part);
  }
  replay_missing(parts, steps, cache);
  for (Part& part : parts) {
    const std::int64_t limit = memory_limit(*part.program);
    if (part.limit == no_limit && part.memory->most_wanted > limit) replay_under(limit, part);
  }
  replay_missing(parts, steps, cache);
  std::vector<std::shared_ptr<const DeviceMemory>> memories;
  for (Part& part : parts) memories.push_back(std::move(part.memory));
  return memories;
}

Part make_part(const Program& program, const DeviceScript& script, const DeviceTimes& times) {
  Part part;
  part.program = &program;
  part.script = &script;
  part.times = times;
  part.reached = script.reached(times.instants.size());
  part.bytes = allocation_bytes(program, script);
  return part;
}

}  // namespace

std::vector<std::vector<Forerunner>> forerunners(const Plan& plan, std::span<const MemoryScript> scripts) {
  std::vector<std::vector<Forerunner>> all(scripts.size());
  for (std::uint32_t p = 1; p < scripts.size(); ++p) {
    for (const std::uint32_t earlier : {0U, p - 1}) {
      if (scripts[p].device.waits_for_streams || scripts[earlier].device.waits_for_streams) continue;
      if (!equal_devices(plan.programs[p], plan.programs[earlier])) continue;
      all[p].push_back({earlier, common_lines(scripts[earlier].device, scripts[p].device)});
      if (earlier + 1 == p) break;
    }
  }
  return all;
}

std::vector<std::shared_ptr<const DeviceMemory>> replay_devices(const Plan& plan, std::span<const MemoryScript> scripts,
                                                                std::span<const std::vector<Forerunner>> forerunners,
                                                                const Timeline& timeline, MemoryCache* cache) {
  std::vector<Part> parts;
  for (std::size_t p = 0; p < scripts.size(); ++p) {
    const Trace& trace = timeline.programs[p];
    Part& part = parts.emplace_back(make_part(plan.programs[p], scripts[p].device, {trace.spans, trace.instants}));
    part.forerunners = forerunners[p];
    if (cache == nullptr || part.script->waits_for_streams) continue;
    part.key = MemoryCache::key_of(*part.program, *part.script, part.reached, plan.steps, part.bytes);
  }
  return replay_under_limits(parts, plan.steps, cache);
}

DeviceMemory replay_device_memory(const Program& program, const DeviceScript& script, const DeviceTimes& times,
                                  std::uint16_t steps) {
  std::vector<Part> parts{make_part(program, script, times)};
  return *replay_under_limits(parts, steps, nullptr).front();
}

}  // namespace shardsim
