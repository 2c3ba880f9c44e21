#include "sim/engine/caching_allocator.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace shardsim {

namespace {

constexpr std::int64_t KiB = 1024, MiB = 1024 * KiB;

// Constants of c10/core/AllocatorConfig.h, PyTorch 2.13.
constexpr std::int64_t min_block = 512;            // every request is rounded up to a multiple of it
constexpr std::int64_t largest_small = 1 * MiB;    // requests up to it come from the small pool,
constexpr std::int64_t small_segment = 2 * MiB;    // from segments of this size
constexpr std::int64_t least_direct = 10 * MiB;    // requests below it
constexpr std::int64_t shared_segment = 20 * MiB;  // share segments of this size
constexpr std::int64_t direct_granule = 2 * MiB;   // larger ones have their own, rounded up to a multiple of it

bool is_large(std::uint32_t pool) { return pool % 2 == 1; }

std::int64_t segment_size(std::int64_t size) {
  if (size <= largest_small) return small_segment;
  if (size < least_direct) return shared_segment;
  return round_up(size, direct_granule);
}

}  // namespace

CachingAllocator::CachingAllocator(std::size_t streams, std::int64_t limit, Segments segments,
                                   std::int64_t device_bytes)
    : pools_(2 * streams),
      unmapped_(2 * streams),
      cached_segments_(2 * streams, 0),
      segments_(segments),
      limit_(limit),
      device_bytes_(device_bytes == 0 ? limit : device_bytes) {}

BlockId CachingAllocator::allocate(StreamId stream, std::int64_t bytes, Time now) {
  if (bytes == 0) return {};
  serve_again(now);
  const std::int64_t size = round_up(bytes, min_block);
  const std::uint32_t pool = static_cast<std::uint32_t>(2 * stream.index() + (size > largest_small ? 1 : 0));
  BlockId block = take_cached(pool, size);
  if (!block.valid()) block = take_new(pool, size, false);
  if (!block.valid()) {
    release_cached_segments();
    block = take_new(pool, size, false);
  }
  if (!block.valid()) block = take_new(pool, size, true);
  if (worth_splitting(at(block), size)) split(block, size, State::cached);
  allocated_ += Bytes(at(block).size);
  return block;
}

void CachingAllocator::release(BlockId block, Time until) {
  if (!block.valid()) return;
  allocated_ -= Bytes(at(block).size);
  if (until > Time{}) {
    deferred_.push_back({block, until});
  } else {
    make_free(block);
  }
}

void CachingAllocator::release_cached_segments() {
  serve_again(Time(std::numeric_limits<std::int64_t>::max()));
  for (std::uint32_t pool = 0; pool < pools_.size(); ++pool) {
    if (segments_ == Segments::expandable) {
      unmap_free_pages(pool);
    } else {
      release_whole_segments(pool);
    }
  }
}

void CachingAllocator::serve_again(Time now) {
  if (deferred_.empty()) return;
  std::erase_if(deferred_, [&](const Deferred& waiting) {
    if (waiting.until > now) return false;
    make_free(waiting.block);
    return true;
  });
}

BlockId CachingAllocator::new_block(const Block& block) {
  if (vacant_.empty()) {
    blocks_.push_back(block);
    return BlockId(blocks_.size() - 1);
  }
  const BlockId id = vacant_.back();
  vacant_.pop_back();
  at(id) = block;
  return id;
}

BlockId CachingAllocator::take_cached(std::uint32_t pool, std::int64_t size) {
  FreeList& list = pools_[pool];
  FreeList::Position best = list.smallest_of_at_least(size);
  if (list.is_end(best)) return {};
  if (segments_ == Segments::expandable) best = best_to_expand(list, best);
  const BlockId block = list.block(best);
  list.take(best);
  at(block).state = State::used;
  if (is_segment(at(block))) --cached_segments_[pool];
  return block;
}

/// Not valid: it would pass the limit.
BlockId CachingAllocator::take_new(std::uint32_t pool, std::int64_t size, bool whatever_the_limit) {
  return segments_ == Segments::expandable ? expand(pool, size, whatever_the_limit)
                                           : new_segment(pool, size, whatever_the_limit);
}

BlockId CachingAllocator::new_segment(std::uint32_t pool, std::int64_t size, bool whatever_the_limit) {
  const Bytes segment(segment_size(size));
  most_wanted_ = std::max(most_wanted_, (reserved_ + segment).value());
  if (!whatever_the_limit && (reserved_ + segment).value() > limit_) return {};
  reserved_ += segment;
  const std::int64_t address = next_address_.value();
  next_address_ += segment;
  tell_watcher(true, address, segment.value(), pool);
  return new_block({address, segment.value(), {}, {}, pool, State::used, address});
}

bool CachingAllocator::worth_splitting(const Block& block, std::int64_t size) const {
  const std::int64_t remainder = block.size - size;
  if (is_large(block.pool) && segments_ == Segments::fixed) return remainder > largest_small;
  return remainder >= min_block;
}

/// Cuts the block to `size`; the rest becomes a block behind it.
void CachingAllocator::split(BlockId block, std::int64_t size, State rest) {
  const Block& whole = at(block);
  const BlockId next = whole.next;
  const BlockId behind =
      new_block({whole.address + size, whole.size - size, block, next, whole.pool, State::used, whole.segment});
  if (next.valid()) at(next).previous = behind;
  at(block).next = behind;
  at(block).size = size;
  if (rest == State::cached) {
    put_free(behind);
  } else {
    put_unmapped(behind);
  }
}

/// `right` becomes part of `left`, its neighbour below.
BlockId CachingAllocator::merge(BlockId left, BlockId right) {
  Block& block = at(left);
  block.size += at(right).size;
  block.next = at(right).next;
  if (block.next.valid()) at(block.next).previous = left;
  vacant_.push_back(right);
  return left;
}

/// Joins the block with its free neighbours, and caches it.
void CachingAllocator::make_free(BlockId block) {
  const BlockId previous = at(block).previous, next = at(block).next;
  if (is(previous, State::cached)) {
    take_free(previous);
    block = merge(previous, block);
  }
  if (is(next, State::cached)) {
    take_free(next);
    block = merge(block, next);
  }
  put_free(block);
}

void CachingAllocator::put_free(BlockId id) {
  Block& block = at(id);
  block.state = State::cached;
  pools_[block.pool].put(block.size, block.address, id);
  if (is_segment(block)) ++cached_segments_[block.pool];
}

void CachingAllocator::take_free(BlockId id) {
  Block& block = at(id);
  block.state = State::used;
  pools_[block.pool].take(block.size, block.address);
  if (is_segment(block)) --cached_segments_[block.pool];
}

void CachingAllocator::release_whole_segments(std::uint32_t pool) {
  // A run far over its limit comes here with every segment: lists without a wholly free one are not walked.
  if (std::exchange(cached_segments_[pool], 0) == 0) return;
  for (const BlockId id : pools_[pool].blocks()) {
    const Block& block = at(id);
    if (!is_segment(block)) continue;
    pools_[pool].take(block.size, block.address);
    reserved_ -= Bytes(block.size);
    tell_watcher(false, block.address, block.size, pool);
    vacant_.push_back(id);
  }
}

void CachingAllocator::tell_watcher(bool taken, std::int64_t address, std::int64_t bytes, std::uint32_t pool) const {
  if (watcher_) watcher_({taken, address, bytes, StreamId(pool / 2), is_large(pool)});
}

}  // namespace shardsim
