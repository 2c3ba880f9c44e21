#include "sim/engine/device_events.hpp"

#include <algorithm>

#include "sim/engine/device_allocations.hpp"
#include "sim/engine/device_replays.hpp"
#include "sim/engine/memory_script.hpp"

namespace shardsim {

std::vector<DeviceEvent> replay_device_events(const Program& program, std::span<const Span> spans,
                                              std::span<const Time> instants) {
  using Kind = DeviceEvent::Kind;
  std::uint16_t steps = 1;
  for (const Mark& mark : program.marks) steps = std::max<std::uint16_t>(steps, mark.step + 1);
  const DeviceScript script = memory_script(program, steps).device;
  const std::int64_t limit = replay_device_memory(program, script, {spans, instants}, steps).limit;
  const std::vector<std::int64_t> bytes = allocation_bytes(program, script);
  const std::size_t reached = script.reached(instants.size());
  std::vector<DeviceEvent> events;
  DeviceAllocations memory(program, script.allocations.size(), limit);
  std::size_t i = 0;
  memory.allocator().watch_segments([&](const CachingAllocator::SegmentEvent& segment) {
    events.push_back({segment.taken ? Kind::take_segment : Kind::return_segment,
                      segment.large,
                      segment.stream,
                      {},
                      segment.address,
                      segment.size,
                      script.lines[i].instruction});
  });
  const auto note = [&](Kind kind, std::uint32_t allocation) {
    if (bytes[allocation] == 0) return;
    const DeviceScript::Allocation& served = script.allocations[allocation];
    const BlockId block = memory.block(allocation);
    events.push_back({kind, false, served.stream, served.tensor, memory.allocator().address(block),
                      memory.allocator().size(block), script.lines[i].instruction});
  };
  for (; i < reached; ++i) {
    const DeviceScript::Line& line = script.lines[i];
    if (line.kind == DeviceScript::Kind::release) note(Kind::release, line.subject);
    memory.play(script, i, bytes, {spans, instants});
    if (line.kind == DeviceScript::Kind::allocate) note(Kind::allocate, line.subject);
  }
  return events;
}

}  // namespace shardsim
