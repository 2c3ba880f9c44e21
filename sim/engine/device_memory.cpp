#include "sim/engine/device_memory.hpp"

#include <algorithm>
#include <numeric>

#include "sim/engine/caching_allocator.hpp"

namespace shardsim {

namespace {

constexpr std::size_t nowhere = std::numeric_limits<std::size_t>::max();
constexpr std::size_t largest_count = 20;

/// A stage's high-water marks while the replay runs; `at` is the instruction that first reached `allocated`.
struct HighWater {
  std::int64_t allocated = -1;
  std::int64_t reserved = 0;
  std::size_t at = nowhere;
};

struct DeviceReplay {
  std::vector<std::int64_t>
      block_bytes;  ///< by instruction: the block that an allocation got, rounding and remainder included
  std::vector<HighWater> stages;
  std::int64_t final_bytes = 0;
  std::int64_t most_wanted = 0;
};

DeviceReplay replay_device(const Program& program, std::size_t reached, std::uint16_t steps) {
  DeviceReplay replay;
  replay.block_bytes.resize(reached);
  replay.stages.resize(stage_count(steps));
  CachingAllocator allocator(program.streams.size(), memory_limit(program));
  std::vector<CachingAllocator::BlockId> blocks(program.tensors.size());
  std::size_t stage = stage_of(Mark{}, steps);
  for (std::size_t i = 0; i < reached; ++i) {
    const Instruction instruction = program.instructions[i];
    if (instruction.kind == Instruction::Kind::mark) stage = stage_of(program.marks[instruction.index], steps);
    if (is_memory(instruction)) {
      const Tensor& tensor = program.tensors[instruction.index];
      if (tensor.pool != Pool::device) continue;
      CachingAllocator::BlockId& block = blocks[instruction.index];
      if (instruction.kind == Instruction::Kind::release) {
        allocator.release(block);
        continue;
      }
      block = allocator.allocate(tensor.stream, tensor.bytes);
      replay.block_bytes[i] = allocator.size(block);
    } else if (instruction.kind == Instruction::Kind::empty_cache) {
      allocator.release_cached_segments();
    } else if (instruction.kind != Instruction::Kind::mark) {
      continue;
    }
    HighWater& high = replay.stages[stage];
    high.reserved = std::max(high.reserved, allocator.reserved());
    if (allocator.allocated() > high.allocated) {
      high.allocated = allocator.allocated();
      high.at = i;
    }
  }
  replay.final_bytes = allocator.allocated();
  replay.most_wanted = allocator.most_wanted();
  return replay;
}

std::vector<TensorId> largest_tensors(const std::vector<std::int64_t>& held) {
  std::vector<TensorId> live;
  for (std::size_t i = 0; i < held.size(); ++i) {
    if (held[i] > 0) live.push_back(TensorId(i));
  }
  const auto middle = live.begin() + static_cast<std::ptrdiff_t>(std::min(live.size(), largest_count));
  std::partial_sort(live.begin(), middle, live.end(), [&](TensorId a, TensorId b) {
    return held[a.index()] != held[b.index()] ? held[a.index()] > held[b.index()] : a < b;
  });
  live.erase(middle, live.end());
  return live;
}

/// Walks up to each peak once more, now that the peaks are known, and notes who was live there.
std::vector<PoolPeak> describe_peaks(const Program& program, const DeviceReplay& replay) {
  std::vector<PoolPeak> peaks(replay.stages.size());
  std::vector<std::size_t> order(peaks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::erase_if(order, [&](std::size_t s) { return replay.stages[s].at == nowhere; });
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return replay.stages[a].at < replay.stages[b].at; });

  std::vector<std::int64_t> held(program.tensors.size());
  std::array<std::int64_t, category_count> by_category{};
  std::uint32_t mark = 0;
  std::size_t i = 0;
  for (const std::size_t stage : order) {
    const HighWater& high = replay.stages[stage];
    for (; i <= high.at; ++i) {
      const Instruction instruction = program.instructions[i];
      if (instruction.kind == Instruction::Kind::mark) mark = instruction.index;
      if (!is_memory(instruction)) continue;
      std::int64_t& bytes = held[instruction.index];
      const std::int64_t now = instruction.kind == Instruction::Kind::allocate ? replay.block_bytes[i] : 0;
      by_category[static_cast<std::size_t>(program.tensors[instruction.index].category)] += now - bytes;
      bytes = now;
    }
    peaks[stage] = {high.allocated, high.reserved, by_category, {}, mark, high.at, largest_tensors(held)};
  }
  return peaks;
}

}  // namespace

DeviceMemory replay_device_memory(const Program& program, std::size_t reached, std::uint16_t steps) {
  const DeviceReplay replay = replay_device(program, reached, steps);
  DeviceMemory memory;
  memory.stages = describe_peaks(program, replay);
  for (const HighWater& high : replay.stages) memory.seen.push_back(high.at != nowhere);
  memory.final_bytes = replay.final_bytes;
  memory.limit = memory_limit(program);
  memory.most_wanted = replay.most_wanted;
  return memory;
}

}  // namespace shardsim
