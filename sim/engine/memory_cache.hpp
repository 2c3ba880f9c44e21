// Device memory follows from the order of allocations and their sizes, not from when they happen: machines that differ
// in speed alone share it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "sim/engine/device_memory.hpp"

namespace shardsim {

/// Many threads may use it.
class MemoryCache {
 public:
  /// What replay_device_memory() gives.
  std::shared_ptr<const DeviceMemory> replay(const Program& program, std::size_t reached, std::uint16_t steps);

 private:
  /// 128 bits of all that decides the outcome but the limit.
  struct Key {
    std::uint64_t high = 0, low = 0;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const { return key.low; }
  };
  static Key key_of(const Program& program, std::size_t reached, std::uint16_t steps);

  std::mutex mutex_;
  std::unordered_map<Key, std::shared_ptr<const DeviceMemory>, Hash> known_;
};

}  // namespace shardsim
