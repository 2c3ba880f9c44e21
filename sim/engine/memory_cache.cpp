#include "sim/engine/memory_cache.hpp"

#include <bit>

namespace shardsim {

namespace {

/// Two lanes of multiply and rotate, each word into both (as in MurmurHash3).
class Mixer {
 public:
  void add(std::uint64_t word) {
    high_ = std::rotl(high_ ^ word * 0x87c37b91114253d5ULL, 31) * 0x4cf5ad432745937fULL;
    low_ = std::rotl(low_ + word * 0x9e3779b97f4a7c15ULL, 27) * 0xc2b2ae3d27d4eb4fULL;
  }
  std::uint64_t high() const { return finish(high_ + low_); }
  std::uint64_t low() const { return finish(low_ ^ std::rotl(high_, 17)); }

 private:
  static std::uint64_t finish(std::uint64_t word) {
    word = (word ^ word >> 33) * 0xff51afd7ed558ccdULL;
    word = (word ^ word >> 33) * 0xc4ceb9fe1a85ec53ULL;
    return word ^ word >> 33;
  }
  std::uint64_t high_ = 0x243f6a8885a308d3ULL, low_ = 0x13198a2e03707344ULL;
};

}  // namespace

MemoryCache::Key MemoryCache::key_of(const Program& program, std::size_t reached, std::uint16_t steps) {
  Mixer mixer;
  mixer.add(reached);
  mixer.add(steps);
  mixer.add(program.streams.size());
  for (const Instruction& instruction : program.instructions) {
    if (instruction.kind == Instruction::Kind::launch || instruction.kind == Instruction::Kind::synchronize) {
      mixer.add(0);  // which task does not matter, but that an instruction stands here
    } else {
      mixer.add((static_cast<std::uint64_t>(instruction.kind) + 1) << 32 | instruction.index);
    }
  }
  mixer.add(program.tensors.size());
  for (const Tensor& tensor : program.tensors) {
    mixer.add(static_cast<std::uint64_t>(tensor.bytes));
    mixer.add(static_cast<std::uint64_t>(tensor.stream.index()) << 16 | static_cast<std::uint64_t>(tensor.pool) << 8 |
              static_cast<std::uint64_t>(tensor.category));
  }
  for (const Mark& mark : program.marks)
    mixer.add(static_cast<std::uint64_t>(mark.phase) << 16 | static_cast<std::uint64_t>(mark.step));
  return {mixer.high(), mixer.low()};
}

std::shared_ptr<const DeviceMemory> MemoryCache::replay(const Program& program, std::size_t reached,
                                                        std::uint16_t steps) {
  constexpr std::size_t most_known = 16384;  // about 30 MB
  const Key key = key_of(program, reached, steps);
  {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(key);
    if (found != known_.end() && found->second->holds_for(memory_limit(program))) return found->second;
  }
  auto memory = std::make_shared<const DeviceMemory>(replay_device_memory(program, reached, steps));
  const std::lock_guard lock(mutex_);
  if (known_.size() >= most_known) known_.clear();
  known_.insert_or_assign(key, memory);
  return memory;
}

}  // namespace shardsim
