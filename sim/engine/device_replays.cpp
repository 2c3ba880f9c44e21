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
  MemoryCache::Key key;
  std::shared_ptr<const DeviceMemory> memory;  ///< null: still to be replayed
  std::optional<std::size_t> twin;             ///< part that is the same throughout
  std::optional<DeviceReplay> begun;           ///< what it branches off with
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

/// Each part branches off from the forerunner with which it has most in common.
void plan_branches(std::vector<Part>& parts, std::span<const std::vector<Forerunner>> forerunners) {
  for (std::size_t p = 0; p < parts.size(); ++p) {
    if (parts[p].memory != nullptr) continue;
    Part::Branch best{0, p};
    std::size_t from = p;
    for (const Forerunner& earlier : forerunners[p]) {
      const Part& part = parts[earlier.program];
      if (part.memory != nullptr) continue;
      const std::size_t lines = common(part, parts[p], earlier.lines);
      if (lines > best.line) {
        best.line = lines;
        from = earlier.program;
      }
    }
    if (from == p) continue;
    const bool throughout = best.line == parts[p].reached && best.line == parts[from].reached;
    if (throughout && parts[p].script->hash == parts[from].script->hash) {
      parts[p].twin = from;
    } else {
      parts[from].branches.push_back(best);
    }
  }
}

void replay(std::vector<Part>& parts, std::size_t p, std::uint16_t steps) {
  Part& part = parts[p];
  DeviceReplay replay = part.begun ? std::move(*part.begun) : DeviceReplay(*part.program, *part.script, steps);
  part.begun.reset();
  std::sort(part.branches.begin(), part.branches.end(),
            [](const Part::Branch& a, const Part::Branch& b) { return a.line < b.line; });
  for (const Part::Branch& branch : part.branches) {
    replay.play(*part.script, branch.line, part.bytes, part.times);
    parts[branch.part].begun = replay.branch(*parts[branch.part].script);
  }
  replay.play(*part.script, part.reached, part.bytes, part.times);
  part.memory = std::make_shared<const DeviceMemory>(replay.finish(*part.program, *part.script));
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
  std::vector<Part> parts(scripts.size());
  for (std::size_t p = 0; p < parts.size(); ++p) {
    Part& part = parts[p];
    part.program = &plan.programs[p];
    part.script = &scripts[p].device;
    part.times = {timeline.programs[p].spans, timeline.programs[p].instants};
    part.reached = part.script->reached(part.times.instants.size());
    part.bytes = allocation_bytes(*part.program, *part.script);
    if (cache == nullptr || part.script->waits_for_streams) continue;
    part.key = MemoryCache::key_of(*part.program, *part.script, part.reached, plan.steps, part.bytes);
    part.memory = cache->find(part.key, memory_limit(*part.program));
  }
  plan_branches(parts, forerunners);
  std::vector<std::shared_ptr<const DeviceMemory>> memories;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    Part& part = parts[p];
    if (part.twin) {
      part.memory = parts[*part.twin].memory;
    } else if (part.memory == nullptr) {
      replay(parts, p, plan.steps);
      if (cache != nullptr && !part.script->waits_for_streams) cache->keep(part.key, part.memory);
    }
    memories.push_back(part.memory);
  }
  return memories;
}

}  // namespace shardsim
