#include "sim/engine/memory_cache.hpp"

#include <utility>

#include "sim/engine/mixer.hpp"

namespace shardsim {

namespace {

constexpr std::size_t most_known = 16384;  // about 30 MB

}  // namespace

MemoryCache::Key MemoryCache::key_of(const Program& program, const DeviceScript& script, std::size_t reached,
                                     std::uint16_t steps, std::span<const std::int64_t> bytes) {
  Mixer mixer;
  mixer.add(script.hash);
  mixer.add(reached);
  mixer.add(steps);
  mixer.add(program.streams.size());
  // The size of the device bounds the addresses of an expandable segment.
  mixer.add(program.expandable_segments ? static_cast<std::uint64_t>(program.capacity_bytes) : 0);
  for (const std::int64_t size : bytes) mixer.add(static_cast<std::uint64_t>(size));
  return {mixer.high(), mixer.low()};
}

MemoryCache::Key MemoryCache::under(Key key, std::int64_t limit) {
  Mixer mixer;
  mixer.add(key.high);
  mixer.add(key.low);
  mixer.add(static_cast<std::uint64_t>(limit));
  return {mixer.high(), mixer.low()};
}

std::shared_ptr<const DeviceMemory> MemoryCache::find(const Key& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(key);
  return found != known_.end() ? found->second : nullptr;
}

void MemoryCache::keep(const Key& key, std::shared_ptr<const DeviceMemory> memory) {
  const std::lock_guard lock(mutex_);
  if (known_.size() >= most_known) known_.clear();
  known_.insert_or_assign(key, std::move(memory));
}

}  // namespace shardsim
