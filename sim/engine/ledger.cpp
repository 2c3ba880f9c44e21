#include "sim/engine/ledger.hpp"

#include <algorithm>

#include "sim/engine/pinned_allocator.hpp"

namespace shardsim {

namespace {

PoolPeak highest(const std::vector<PoolPeak>& stages) {
  PoolPeak peak;
  for (const PoolPeak& stage : stages) {
    const std::int64_t reserved = std::max(peak.reserved, stage.reserved);
    if (stage.allocated > peak.allocated) peak = stage;
    peak.reserved = reserved;
  }
  return peak;
}

std::vector<HostLevel> replay_host(const Program& program, std::span<const Time> instants, std::uint16_t steps) {
  std::vector<HostLevel> levels;
  std::size_t stage = stage_of(Mark{}, steps);
  PinnedAllocator pinned;
  Bytes pageable, storage;
  std::array<std::int64_t, category_count> pageable_by_category{};
  for (std::size_t i = 0; i < instants.size(); ++i) {
    const Instruction instruction = program.instructions[i];
    if (instruction.kind == Instruction::Kind::mark) stage = stage_of(program.marks[instruction.index], steps);
    if (!is_memory(instruction)) continue;
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
    HostLevel level{instants[i], stage, pinned.reserved(), pageable.value(), storage.value(), pinned.by_category(), i};
    for (std::size_t c = 0; c < category_count; ++c) level.by_category[c] += pageable_by_category[c];
    levels.push_back(level);
  }
  return levels;
}

}  // namespace

Ledger replay_memory(const Program& program, std::span<const Time> instants, std::uint16_t steps) {
  return make_ledger(program, instants, steps, replay_device_memory(program, instants.size(), steps));
}

Ledger make_ledger(const Program& program, std::span<const Time> instants, std::uint16_t steps,
                   const DeviceMemory& device) {
  Ledger ledger;
  ledger.device_by_stage = device.stages;
  for (std::size_t stage = 0; stage < device.stages.size(); ++stage) {
    if (device.seen[stage]) ledger.device_by_stage[stage].instant = instants[device.stages[stage].instruction];
  }
  ledger.device = highest(ledger.device_by_stage);
  ledger.final_device_bytes = device.final_bytes;
  ledger.host = replay_host(program, instants, steps);
  return ledger;
}

}  // namespace shardsim
