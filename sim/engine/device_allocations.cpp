#include "sim/engine/device_allocations.hpp"

namespace shardsim {

namespace {

CachingAllocator::Segments segments_of(const Program& program) {
  return program.expandable_segments ? CachingAllocator::Segments::expandable : CachingAllocator::Segments::fixed;
}

}  // namespace

DeviceAllocations::DeviceAllocations(const Program& program, std::span<const Span> spans,
                                     std::span<const Time> instants)
    : program_(program),
      spans_(spans),
      instants_(instants),
      allocator_(program.streams.size(), program.capacity_bytes - program.outside_bytes, segments_of(program),
                 program.capacity_bytes),
      blocks_(program.tensors.size()),
      busy_until_(program.streams.size()) {}

void DeviceAllocations::play(std::size_t i) {
  using Kind = Instruction::Kind;
  const Instruction instruction = program_.instructions[i];
  if (instruction.kind == Kind::launch) {
    busy_until_[program_.tasks[instruction.index].stream.index()] = spans_[instruction.index].end;
  } else if (instruction.kind == Kind::empty_cache) {
    allocator_.release_cached_segments();
  }
  if (instruction.kind != Kind::allocate && instruction.kind != Kind::release) return;
  const Tensor& tensor = program_.tensors[instruction.index];
  if (tensor.pool != Pool::device) return;
  BlockId& block = blocks_[instruction.index];
  if (instruction.kind == Kind::allocate) {
    block = allocator_.allocate(tensor.stream, tensor.bytes, instants_[i]);
  } else {
    const bool waits = tensor.used_on.valid() && tensor.used_on != tensor.stream;
    allocator_.release(block, waits ? busy_until_[tensor.used_on.index()] : Time{});
  }
}

}  // namespace shardsim
