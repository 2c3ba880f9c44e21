// What the caching allocator of one program's device did, event by event: the same replay that the peaks come from.
#pragma once

#include <cstdint>
#include <vector>

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

/// Replays the first `reached` instructions of the program. Requests of no bytes leave no event.
std::vector<DeviceEvent> replay_device_events(const Program& program, std::size_t reached);

}  // namespace shardsim
