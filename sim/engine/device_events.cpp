#include "sim/engine/device_events.hpp"

#include "sim/engine/device_allocations.hpp"

namespace shardsim {

std::vector<DeviceEvent> replay_device_events(const Program& program, std::span<const Span> spans,
                                              std::span<const Time> instants) {
  using Kind = DeviceEvent::Kind;
  std::vector<DeviceEvent> events;
  DeviceAllocations memory(program, spans, instants);
  std::size_t i = 0;
  memory.allocator().watch_segments([&](const CachingAllocator::SegmentEvent& segment) {
    events.push_back({segment.taken ? Kind::take_segment : Kind::return_segment,
                      segment.large,
                      segment.stream,
                      {},
                      segment.address,
                      segment.size,
                      i});
  });
  const auto note = [&](Kind kind, std::uint32_t index) {
    const Tensor& tensor = program.tensors[index];
    if (tensor.pool != Pool::device || tensor.bytes == 0) return;
    const BlockId block = memory.block(index);
    events.push_back({kind, false, tensor.stream, TensorId(index), memory.allocator().address(block),
                      memory.allocator().size(block), i});
  };
  for (; i < instants.size(); ++i) {
    const Instruction instruction = program.instructions[i];
    if (instruction.kind == Instruction::Kind::release) note(Kind::release, instruction.index);
    memory.play(i);
    if (instruction.kind == Instruction::Kind::allocate) note(Kind::allocate, instruction.index);
  }
  return events;
}

}  // namespace shardsim
