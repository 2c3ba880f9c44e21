// Device memory follows from the order of allocations and their sizes, not from when they happen, unless streams hold
// on to it: machines that differ in speed alone share it, and so do programs that differ elsewhere alone.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>

#include "sim/engine/device_memory.hpp"

namespace shardsim {

/// Many threads may use it.
class MemoryCache {
 public:
  /// 128 bits of all that decides the outcome.
  struct Key {
    std::uint64_t high = 0, low = 0;
    bool operator==(const Key&) const = default;
  };
  /// Of a script that waits for no stream, played up to the line `reached` under no limit; `bytes` by allocation.
  static Key key_of(const Program& program, const DeviceScript& script, std::size_t reached, std::uint16_t steps,
                    std::span<const std::int64_t> bytes);
  /// The same under a limit.
  static Key under(Key key, std::int64_t limit);

  /// Null: not known.
  std::shared_ptr<const DeviceMemory> find(const Key& key) const;
  void keep(const Key& key, std::shared_ptr<const DeviceMemory> memory);

 private:
  struct Hash {
    std::size_t operator()(const Key& key) const { return key.low; }
  };

  mutable std::mutex mutex_;
  std::unordered_map<Key, std::shared_ptr<const DeviceMemory>, Hash> known_;
};

}  // namespace shardsim
