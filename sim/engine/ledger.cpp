#include "sim/engine/ledger.hpp"

#include <algorithm>

#include "sim/engine/pinned_allocator.hpp"

namespace shardsim {

std::vector<HostLevel> replay_host_memory(const Program& program, const MemoryScript& script,
                                          std::span<const Time> instants) {
  std::vector<HostLevel> levels;
  PinnedAllocator pinned;
  Bytes pageable, storage;
  std::array<std::int64_t, category_count> pageable_by_category{};
  for (const MemoryScript::HostLine& line : script.host) {
    if (line.instruction >= instants.size()) break;
    const Instruction instruction = program.instructions[line.instruction];
    const Tensor& tensor = program.tensors[instruction.index];
    const bool allocates = instruction.kind == Instruction::Kind::allocate;
    const Bytes change(allocates ? tensor.bytes : -tensor.bytes);
    switch (tensor.pool) {
      case Pool::device:
        continue;
      case Pool::pinned:
        if (allocates) {
          pinned.allocate(tensor.category, tensor.bytes);
        } else {
          pinned.release(tensor.category, tensor.bytes);
        }
        break;
      case Pool::pageable:
        pageable += change;
        pageable_by_category[static_cast<std::size_t>(tensor.category)] += change.value();
        break;
      case Pool::storage:
        storage += change;
        break;
    }
    HostLevel level{instants[line.instruction], line.stage,      pinned.reserved(), pageable.value(), storage.value(),
                    pinned.by_category(),       line.instruction};
    for (std::size_t c = 0; c < category_count; ++c) level.by_category[c] += pageable_by_category[c];
    levels.push_back(level);
  }
  return levels;
}

std::vector<PoolPeak> device_peaks(const DeviceMemory& device, const MemoryScript& script,
                                   std::span<const Time> instants) {
  std::vector<PoolPeak> peaks;
  for (const DeviceMemory::Peak& stage : device.stages) {
    PoolPeak& peak = peaks.emplace_back();
    if (stage.line == DeviceMemory::nowhere) continue;
    const std::size_t instruction = script.device.lines[stage.line].instruction;
    peak = {stage.allocated,
            stage.reserved,
            stage.by_category,
            instants[instruction],
            script.mark_at(instruction),
            instruction,
            {}};
    for (const std::uint32_t allocation : stage.largest) {
      peak.largest.push_back(script.device.allocations[allocation].tensor);
    }
  }
  return peaks;
}

PoolPeak highest(const std::vector<PoolPeak>& stages) {
  PoolPeak peak;
  for (const PoolPeak& stage : stages) {
    const std::int64_t reserved = std::max(peak.reserved, stage.reserved);
    if (stage.allocated > peak.allocated) peak = stage;
    peak.reserved = reserved;
  }
  return peak;
}

}  // namespace shardsim
