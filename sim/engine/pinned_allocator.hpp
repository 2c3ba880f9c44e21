// PyTorch's caching allocator for pinned host memory.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "model/core/units.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// Follows ATen/core/CachingHostAllocator.h: every block is a power of two, a freed one serves the next request of its
/// own size only, and none is ever given back. A free block stays on the account of the category that had it last.
class PinnedAllocator {
 public:
  static std::int64_t block_size(std::int64_t bytes);  ///< 0 for 0; refuses what has no power of two in 63 bits

  void allocate(Category category, std::int64_t bytes);
  void release(Category category, std::int64_t bytes);

  std::int64_t reserved() const { return reserved_.value(); }
  const std::array<std::int64_t, category_count>& by_category() const { return by_category_; }

 private:
  static constexpr std::size_t size_count = 63;
  std::array<std::vector<Category>, size_count> free_;  ///< by log2 of the size, last freed last
  std::array<std::int64_t, category_count> by_category_{};
  Bytes reserved_;
};

}  // namespace shardsim
