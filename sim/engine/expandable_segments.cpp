// The caching allocator under expandable_segments:True: one segment a stream and pool, that grows by pages into
// addresses it reserved, and gives free pages back when memory runs short.
#include <algorithm>

#include "model/core/check.hpp"
#include "sim/engine/caching_allocator.hpp"

namespace shardsim {

namespace {

constexpr std::int64_t MiB = 1024 * 1024;

/// kSmallBuffer and large_segment_size: what is mapped, and unmapped, at a time.
std::int64_t page_size(std::uint32_t pool) { return pool % 2 == 1 ? 20 * MiB : 2 * MiB; }

}  // namespace

/// A block's size for best fit: up to where it can grow.
std::int64_t CachingAllocator::expandable_size(BlockId block) const {
  const BlockId next = at(block).next;
  return at(block).size + (is(next, State::unmapped) ? at(next).size : 0);
}

FreeList::Position CachingAllocator::best_to_expand(const FreeList& list, FreeList::Position fits) const {
  for (auto next = list.next(fits);
       !list.is_end(next) && expandable_size(list.block(next)) < expandable_size(list.block(fits));
       next = list.next(next)) {
    fits = next;
  }
  return fits;
}

/// A free block of at least `size`, mapped where it is not yet. Not valid: it would pass the limit; pages that were
/// mapped on the way stay.
BlockId CachingAllocator::expand(std::uint32_t pool, std::int64_t size, bool whatever_the_limit) {
  BlockId block = find_addresses(pool, size);
  if (at(block).state == State::unmapped) {
    block = map(block, std::min(at(block).size, size), whatever_the_limit);
    if (!block.valid()) return {};
  }
  while (at(block).size < size) {
    const BlockId next = at(block).next;
    block = map(next, std::min(size - at(block).size, at(next).size), whatever_the_limit);
    if (!block.valid()) return {};
  }
  take_free(block);
  return block;
}

/// The lowest addresses of the pool, free or unmapped, that have room for `size`: where they begin.
BlockId CachingAllocator::find_addresses(std::uint32_t pool, std::int64_t size) {
  for (const BlockId unmapped : unmapped_[pool]) {
    const BlockId before = at(unmapped).previous;
    const BlockId first = is(before, State::cached) ? before : unmapped;
    std::int64_t room = 0;
    for (BlockId block = first; room < size && block.valid() && at(block).state != State::used;
         block = at(block).next) {
      room += at(block).size;
    }
    if (room >= size) return first;
  }
  return new_addresses(pool, size);
}

/// A segment reserves addresses for an eighth more than the device holds.
BlockId CachingAllocator::new_addresses(std::uint32_t pool, std::int64_t size) {
  const Bytes room(round_up(std::max(device_bytes_ + device_bytes_ / 8, size), page_size(pool)));
  const std::int64_t address = next_address_.value();
  next_address_ += room;
  const BlockId block = new_block({address, room.value(), {}, {}, pool, State::used, address});
  put_unmapped(block);
  return block;
}

/// Puts memory behind the first `size` bytes of an unmapped block, in whole pages, and joins it with free neighbours;
/// returns the free block that results.
BlockId CachingAllocator::map(BlockId block, std::int64_t size, bool whatever_the_limit) {
  SHARDSIM_CHECK(is(block, State::unmapped), "only addresses without memory can get some");
  const Bytes mapped(round_up(size, page_size(at(block).pool)));
  most_wanted_ = std::max(most_wanted_, (reserved_ + mapped).value());
  if (!whatever_the_limit && (reserved_ + mapped).value() > limit_) return {};
  reserved_ += mapped;
  tell_watcher(true, at(block).address, mapped.value(), at(block).pool);
  take_unmapped(block);
  if (mapped.value() < at(block).size) split(block, mapped.value(), State::unmapped);
  const BlockId previous = at(block).previous;
  const bool joins = is(previous, State::cached);
  make_free(block);
  return joins ? previous : block;
}

void CachingAllocator::put_unmapped(BlockId id) {
  at(id).state = State::unmapped;
  std::vector<BlockId>& list = unmapped_[at(id).pool];
  list.insert(std::lower_bound(list.begin(), list.end(), id,
                               [&](BlockId a, BlockId b) { return at(a).address < at(b).address; }),
              id);
}

void CachingAllocator::take_unmapped(BlockId id) {
  at(id).state = State::used;
  std::erase(unmapped_[at(id).pool], id);
}

void CachingAllocator::unmap_free_pages(std::uint32_t pool) {
  for (const BlockId block : pools_[pool].blocks()) unmap(block);
}

/// Takes the memory from behind the whole pages of a free block; what is left of it before and behind stays free.
void CachingAllocator::unmap(BlockId block) {
  const Block whole = at(block);
  const std::int64_t page = page_size(whole.pool);
  const std::int64_t begin = round_up(whole.address - whole.segment, page) + whole.segment;
  const std::int64_t end = (whole.address + whole.size - whole.segment) / page * page + whole.segment;
  if (begin >= end) return;
  reserved_ -= Bytes(end - begin);
  tell_watcher(false, begin, end - begin, whole.pool);
  take_free(block);
  if (begin > whole.address) {
    split(block, begin - whole.address, State::cached);
    const BlockId behind = at(block).next;
    take_free(behind);
    put_free(block);
    block = behind;
  }
  if (end < whole.address + whole.size) split(block, end - begin, State::cached);
  if (const BlockId next = at(block).next; is(next, State::unmapped)) {
    take_unmapped(next);
    block = merge(block, next);
  }
  if (const BlockId previous = at(block).previous; is(previous, State::unmapped)) {
    take_unmapped(previous);
    block = merge(previous, block);
  }
  if (is_segment(at(block))) {
    vacant_.push_back(block);
  } else {
    put_unmapped(block);
  }
}

}  // namespace shardsim
