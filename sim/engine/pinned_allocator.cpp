#include "sim/engine/pinned_allocator.hpp"

#include <bit>

namespace shardsim {

std::int64_t PinnedAllocator::block_size(std::int64_t bytes) {
  if (bytes == 0) return 0;
  if (bytes > (std::int64_t{1} << (size_count - 1))) throw_overflow("rounding pinned memory up to a power of two");
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(bytes)));
}

void PinnedAllocator::allocate(Category category, std::int64_t bytes) {
  if (bytes == 0) return;
  const std::int64_t size = block_size(bytes);
  std::vector<Category>& free = free_[static_cast<std::size_t>(std::countr_zero(static_cast<std::uint64_t>(size)))];
  if (free.empty()) {
    reserved_ += Bytes(size);
  } else {
    by_category_[static_cast<std::size_t>(free.back())] -= size;
    free.pop_back();
  }
  by_category_[static_cast<std::size_t>(category)] += size;
}

void PinnedAllocator::release(Category category, std::int64_t bytes) {
  if (bytes == 0) return;
  const auto size = static_cast<std::uint64_t>(block_size(bytes));
  free_[static_cast<std::size_t>(std::countr_zero(size))].push_back(category);
}

}  // namespace shardsim
