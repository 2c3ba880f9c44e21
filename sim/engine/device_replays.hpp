// The device memories of a plan's programs, replayed together as far as they are the same.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sim/engine/device_memory.hpp"
#include "sim/engine/event_loop.hpp"
#include "sim/engine/memory_cache.hpp"
#include "sim/engine/memory_script.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// An earlier program of the plan, and how many lines of its script are the same, sizes aside.
struct Forerunner {
  std::uint32_t program = 0;
  std::size_t lines = 0;
};
/// By program: whom its replay can branch off from. Ranks of ZeRO-1 and 2 own different slices of the model, so that
/// their scripts part where the first gradients are kept; those of FSDP often do not part at all.
std::vector<std::vector<Forerunner>> forerunners(const Plan& plan, std::span<const MemoryScript> scripts);

/// By program, each on its own device. A run that presses on its device gives cached memory back, as PyTorch does. One
/// whose tensors alone are larger than the device is told as if it pressed from the first allocation on: the least that
/// PyTorch gets by with, and the same on every device that is too small. What `cache` (may be null) knows is taken from
/// there, and what it does not know is put there.
std::vector<std::shared_ptr<const DeviceMemory>> replay_devices(const Plan& plan, std::span<const MemoryScript> scripts,
                                                                std::span<const std::vector<Forerunner>> forerunners,
                                                                const Timeline& timeline, MemoryCache* cache);
/// The same for a program by itself.
DeviceMemory replay_device_memory(const Program& program, const DeviceScript& script, const DeviceTimes& times,
                                  std::uint16_t steps);

}  // namespace shardsim
