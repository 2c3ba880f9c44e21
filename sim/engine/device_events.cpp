#include "sim/engine/device_events.hpp"

#include "sim/engine/caching_allocator.hpp"

namespace shardsim {

std::vector<DeviceEvent> replay_device_events(const Program& program, std::size_t reached) {
  using Kind = DeviceEvent::Kind;
  std::vector<DeviceEvent> events;
  CachingAllocator allocator(program.streams.size(), program.capacity_bytes - program.outside_bytes);
  std::vector<CachingAllocator::BlockId> blocks(program.tensors.size());
  std::size_t i = 0;
  allocator.watch_segments([&](const CachingAllocator::SegmentEvent& segment) {
    events.push_back({segment.taken ? Kind::take_segment : Kind::return_segment,
                      segment.large,
                      segment.stream,
                      {},
                      segment.address,
                      segment.size,
                      i});
  });
  for (; i < reached; ++i) {
    const Instruction instruction = program.instructions[i];
    if (instruction.kind == Instruction::Kind::empty_cache) allocator.release_cached_segments();
    const bool allocates = instruction.kind == Instruction::Kind::allocate;
    if (!allocates && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    if (tensor.pool != Pool::device || tensor.bytes == 0) continue;
    CachingAllocator::BlockId& block = blocks[instruction.index];
    if (allocates) block = allocator.allocate(tensor.stream, tensor.bytes);
    events.push_back({allocates ? Kind::allocate : Kind::release, false, tensor.stream, TensorId(instruction.index),
                      allocator.address(block), allocator.size(block), i});
    if (!allocates) allocator.release(block);
  }
  return events;
}

}  // namespace shardsim
