#include "sim/engine/device_memory.hpp"

#include <algorithm>
#include <numeric>

namespace shardsim {

namespace {

constexpr std::size_t largest_count = 20;

std::vector<std::uint32_t> largest_of(const std::vector<std::int64_t>& held) {
  std::vector<std::uint32_t> live;
  for (std::size_t i = 0; i < held.size(); ++i) {
    if (held[i] > 0) live.push_back(static_cast<std::uint32_t>(i));
  }
  const auto middle = live.begin() + static_cast<std::ptrdiff_t>(std::min(live.size(), largest_count));
  std::partial_sort(live.begin(), middle, live.end(),
                    [&](std::uint32_t a, std::uint32_t b) { return held[a] != held[b] ? held[a] > held[b] : a < b; });
  live.erase(middle, live.end());
  return live;
}

/// Walks up to each peak once more, now that the peaks are known, and notes who was live there.
void describe_peaks(std::vector<DeviceMemory::Peak>& stages, const DeviceScript& script,
                    std::span<const std::int64_t> block_bytes) {
  std::vector<std::size_t> order(stages.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::erase_if(order, [&](std::size_t s) { return stages[s].line == DeviceMemory::nowhere; });
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return stages[a].line < stages[b].line; });

  std::vector<std::int64_t> held(block_bytes.size());
  std::array<std::int64_t, category_count> by_category{};
  std::size_t i = 0;
  for (const std::size_t stage : order) {
    for (; i <= stages[stage].line; ++i) {
      const DeviceScript::Line& line = script.lines[i];
      const bool allocates = line.kind == DeviceScript::Kind::allocate;
      if (!allocates && line.kind != DeviceScript::Kind::release) continue;
      const std::int64_t bytes = block_bytes[line.subject];
      held[line.subject] = allocates ? bytes : 0;
      by_category[static_cast<std::size_t>(script.allocations[line.subject].category)] += allocates ? bytes : -bytes;
    }
    stages[stage].by_category = by_category;
    stages[stage].largest = largest_of(held);
  }
}

}  // namespace

std::vector<std::int64_t> allocation_bytes(const Program& program, const DeviceScript& script) {
  std::vector<std::int64_t> bytes;
  bytes.reserve(script.allocations.size());
  for (const DeviceScript::Allocation& allocation : script.allocations) {
    bytes.push_back(program.tensors[allocation.tensor.index()].bytes);
  }
  return bytes;
}

std::int64_t most_live(const DeviceScript& script, std::size_t end, std::span<const std::int64_t> bytes) {
  Bytes live;
  std::int64_t most = 0;
  for (std::size_t i = 0; i < end; ++i) {
    const DeviceScript::Line& line = script.lines[i];
    if (line.kind == DeviceScript::Kind::allocate) {
      live += Bytes(CachingAllocator::rounded(bytes[line.subject]));
      most = std::max(most, live.value());
    } else if (line.kind == DeviceScript::Kind::release) {
      live -= Bytes(CachingAllocator::rounded(bytes[line.subject]));
    }
  }
  return most;
}

DeviceReplay::DeviceReplay(const Program& program, const DeviceScript& script, std::uint16_t steps, std::int64_t limit)
    : memory_(program, script.allocations.size(), limit),
      block_bytes_(script.allocations.size()),
      stages_(stage_count(steps)),
      stage_(stage_of(Mark{}, steps)),
      limit_(limit) {}

void DeviceReplay::play(const DeviceScript& script, std::size_t end, std::span<const std::int64_t> bytes,
                        const DeviceTimes& times) {
  const CachingAllocator& allocator = memory_.allocator();
  for (; next_ < end; ++next_) {
    memory_.play(script, next_, bytes, times);
    const DeviceScript::Line& line = script.lines[next_];
    if (line.kind == DeviceScript::Kind::release) continue;
    if (line.kind == DeviceScript::Kind::stage) stage_ = line.subject;
    if (line.kind == DeviceScript::Kind::allocate) {
      block_bytes_[line.subject] = allocator.size(memory_.block(line.subject));
    }
    DeviceMemory::Peak& high = stages_[stage_];
    high.reserved = std::max(high.reserved, allocator.reserved());
    if (allocator.allocated() > high.allocated || high.line == DeviceMemory::nowhere) {
      high.allocated = allocator.allocated();
      high.line = next_;
    }
  }
}

DeviceReplay DeviceReplay::branch(const DeviceScript& script) const {
  DeviceReplay other = *this;
  other.memory_ = memory_.branch(script.allocations.size());
  other.block_bytes_.resize(script.allocations.size());
  return other;
}

DeviceMemory DeviceReplay::finish(const DeviceScript& script) const {
  DeviceMemory memory;
  memory.stages = stages_;
  describe_peaks(memory.stages, script, block_bytes_);
  memory.final_bytes = memory_.allocator().allocated();
  memory.limit = limit_;
  memory.most_wanted = memory_.allocator().most_wanted();
  return memory;
}

}  // namespace shardsim
