#include "sim/engine/device_allocations.hpp"

namespace shardsim {

namespace {

CachingAllocator::Segments segments_of(const Program& program) {
  return program.expandable_segments ? CachingAllocator::Segments::expandable : CachingAllocator::Segments::fixed;
}

}  // namespace

DeviceAllocations::DeviceAllocations(const Program& program, std::size_t allocations, std::int64_t limit)
    : allocator_(program.streams.size(), limit, segments_of(program), program.capacity_bytes), blocks_(allocations) {}

DeviceAllocations DeviceAllocations::branch(std::size_t allocations) const {
  DeviceAllocations other = *this;
  other.blocks_.resize(allocations);
  return other;
}

void DeviceAllocations::play(const DeviceScript& script, std::size_t line, std::span<const std::int64_t> bytes,
                             const DeviceTimes& times) {
  const DeviceScript::Line& now = script.lines[line];
  switch (now.kind) {
    case DeviceScript::Kind::allocate:
      blocks_[now.subject] = allocator_.allocate(script.allocations[now.subject].stream, bytes[now.subject],
                                                 script.waits_for_streams ? times.instants[now.instruction] : Time{});
      break;
    case DeviceScript::Kind::release:
      allocator_.release(blocks_[now.subject], now.until.valid() ? times.spans[now.until.index()].end : Time{});
      break;
    case DeviceScript::Kind::empty_cache:
      allocator_.release_cached_segments();
      break;
    case DeviceScript::Kind::stage:
      break;
  }
}

}  // namespace shardsim
