// What one program asks of its memories, in order: as much of it as the plan's structure decides.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "sim/plan/plan.hpp"

namespace shardsim {

/// What a caching allocator hears of a program: a fifth of its instructions, without a look at what they name.
struct DeviceScript {
  enum class Kind : std::uint8_t { allocate, release, empty_cache, stage };
  struct Line {
    Kind kind = Kind::allocate;
    std::uint32_t subject = 0;      ///< the allocation, in their order; of `stage`: what stage_of() the mark is
    std::uint32_t instruction = 0;  ///< Program::instructions
    TaskId until;                   ///< of a release that waits for another stream: what is last on it
  };
  /// The tensor that is allocated.
  struct Allocation {
    TensorId tensor;
    StreamId stream;
    Category category = Category::activations;
    std::uint32_t line = 0;
    bool operator==(const Allocation&) const = default;
  };

  std::vector<Line> lines;
  std::vector<Allocation> allocations;
  bool waits_for_streams = false;  ///< Tensor::used_on decides when memory serves again, so that times matter
  std::uint64_t hash = 0;          ///< of kinds, subjects, streams and categories

  /// How many lines come to pass when the host thread reaches so many instructions.
  std::size_t reached(std::size_t instructions) const;
};

/// What one program asks of all its memories.
struct MemoryScript {
  struct HostLine {
    std::uint32_t instruction = 0;
    std::uint32_t stage = 0;
  };
  struct MarkLine {
    std::uint32_t instruction = 0;
    std::uint32_t mark = 0;
  };
  DeviceScript device;
  std::vector<HostLine> host;  ///< allocations and releases outside the device
  std::vector<MarkLine> marks;

  /// Program::marks: the one in force after an instruction.
  std::uint32_t mark_at(std::size_t instruction) const;
};

MemoryScript memory_script(const Program& program, std::uint16_t steps);

/// How many lines of two scripts are the same, sizes aside, from the first on.
std::size_t common_lines(const DeviceScript& one, const DeviceScript& other);

}  // namespace shardsim
