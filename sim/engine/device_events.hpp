// What the caching allocator of one program's device did, event by event: the same replay that the peaks come from.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

struct DeviceEvent {
  enum class Kind : std::uint8_t { allocate, release, take_segment, return_segment } kind = Kind::allocate;
  bool large = false;           ///< of a segment: the large pool's
  StreamId stream;              ///< whose free list serves it
  TensorId tensor;              ///< of allocate and release
  std::int64_t address = 0;     ///< of the block or segment, from 0
  std::int64_t size = 0;        ///< of the block or segment, rounding included
  std::size_t instruction = 0;  ///< Program::instructions: what caused it
};

/// `spans`: by task; `instants`: the host thread's clock after each instruction that it reached. Requests of no bytes
/// leave no event.
std::vector<DeviceEvent> replay_device_events(const Program& program, std::span<const Span> spans,
                                              std::span<const Time> instants);

}  // namespace shardsim
