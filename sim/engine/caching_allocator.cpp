#include "sim/engine/caching_allocator.hpp"

#include <algorithm>
#include <utility>

namespace shardsim {

namespace {

constexpr std::int64_t KiB = 1024, MiB = 1024 * KiB;

// Constants of c10/cuda/CUDACachingAllocator.cpp, PyTorch 2.x.
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

bool worth_splitting(std::uint32_t pool, std::int64_t remainder) {
  return is_large(pool) ? remainder > largest_small : remainder >= min_block;
}

}  // namespace

CachingAllocator::CachingAllocator(std::size_t streams, std::int64_t limit)
    : pools_(2 * streams), cached_segments_(2 * streams, 0), limit_(limit) {}

CachingAllocator::BlockId CachingAllocator::allocate(StreamId stream, std::int64_t bytes) {
  if (bytes == 0) return {};
  const std::int64_t size = round_up(bytes, min_block);
  const std::uint32_t pool = static_cast<std::uint32_t>(2 * stream.index() + (size > largest_small ? 1 : 0));
  BlockId block = take_cached(pool, size);
  if (!block.valid()) block = new_segment(pool, size);
  if (worth_splitting(pool, blocks_[block.index()].size - size)) split(block, size);
  allocated_ += Bytes(blocks_[block.index()].size);
  return block;
}

void CachingAllocator::release(BlockId block) {
  if (!block.valid()) return;
  allocated_ -= Bytes(blocks_[block.index()].size);
  const BlockId previous = blocks_[block.index()].previous, next = blocks_[block.index()].next;
  if (previous.valid() && blocks_[previous.index()].free) {
    take_free(previous);
    block = merge(previous, block);
  }
  if (next.valid() && blocks_[next.index()].free) {
    take_free(next);
    block = merge(block, next);
  }
  put_free(block);
}

// std::lower_bound without branches that nobody can foresee: half of an allocation's time is spent here.
CachingAllocator::FreeList::iterator CachingAllocator::lower_bound(FreeList& list, std::int64_t size,
                                                                   std::int64_t address) {
  const auto is_before = [&](const Free& entry) {
    return static_cast<std::size_t>(entry.size < size) |
           (static_cast<std::size_t>(entry.size == size) & static_cast<std::size_t>(entry.address < address));
  };
  const Free* first = list.data();
  for (std::size_t left = list.size(); left > 0;) {
    const std::size_t half = (left + 1) / 2;
    first += half * is_before(first[half - 1]);
    left -= half;
  }
  return list.begin() + (first - list.data());
}

CachingAllocator::BlockId CachingAllocator::new_block(const Block& block) {
  if (vacant_.empty()) {
    blocks_.push_back(block);
    return BlockId(blocks_.size() - 1);
  }
  const BlockId id = vacant_.back();
  vacant_.pop_back();
  blocks_[id.index()] = block;
  return id;
}

CachingAllocator::BlockId CachingAllocator::take_cached(std::uint32_t pool, std::int64_t size) {
  FreeList& list = pools_[pool];
  const auto best = lower_bound(list, size, std::numeric_limits<std::int64_t>::min());
  if (best == list.end()) return {};
  const BlockId block = best->block;
  list.erase(best);
  blocks_[block.index()].free = false;
  if (is_segment(blocks_[block.index()])) --cached_segments_[pool];
  return block;
}

CachingAllocator::BlockId CachingAllocator::new_segment(std::uint32_t pool, std::int64_t size) {
  const Bytes segment(segment_size(size));
  most_wanted_ = std::max(most_wanted_, (reserved_ + segment).value());
  if ((reserved_ + segment).value() > limit_) release_cached_segments();
  reserved_ += segment;
  const Bytes address = next_address_;
  next_address_ += segment;
  const BlockId block = new_block({address.value(), segment.value(), {}, {}, pool, false});
  tell_watcher(true, blocks_[block.index()]);
  return block;
}

void CachingAllocator::tell_watcher(bool taken, const Block& segment) const {
  if (watcher_) watcher_({taken, segment.address, segment.size, StreamId(segment.pool / 2), is_large(segment.pool)});
}

/// Cuts the block to `size`; the rest becomes a free block behind it.
void CachingAllocator::split(BlockId block, std::int64_t size) {
  const Block whole = blocks_[block.index()];
  const BlockId rest = new_block({whole.address + size, whole.size - size, block, whole.next, whole.pool, false});
  if (whole.next.valid()) blocks_[whole.next.index()].previous = rest;
  blocks_[block.index()].next = rest;
  blocks_[block.index()].size = size;
  put_free(rest);
}

/// `right` becomes part of `left`, its neighbour below.
CachingAllocator::BlockId CachingAllocator::merge(BlockId left, BlockId right) {
  Block& block = blocks_[left.index()];
  block.size += blocks_[right.index()].size;
  block.next = blocks_[right.index()].next;
  if (block.next.valid()) blocks_[block.next.index()].previous = left;
  vacant_.push_back(right);
  return left;
}

void CachingAllocator::put_free(BlockId id) {
  Block& block = blocks_[id.index()];
  block.free = true;
  FreeList& list = pools_[block.pool];
  const Free entry{block.size, block.address, id};
  list.insert(lower_bound(list, entry.size, entry.address), entry);
  if (is_segment(block)) ++cached_segments_[block.pool];
}

void CachingAllocator::take_free(BlockId id) {
  Block& block = blocks_[id.index()];
  block.free = false;
  FreeList& list = pools_[block.pool];
  list.erase(lower_bound(list, block.size, block.address));
}

void CachingAllocator::release_cached_segments() {
  for (std::size_t pool = 0; pool < pools_.size(); ++pool) {
    // A run far over its limit comes here with every segment: lists without a wholly free one are not walked.
    if (std::exchange(cached_segments_[pool], 0) == 0) continue;
    std::erase_if(pools_[pool], [&](const Free& entry) {
      const Block& block = blocks_[entry.block.index()];
      if (!is_segment(block)) return false;
      reserved_ -= Bytes(block.size);
      tell_watcher(false, block);
      vacant_.push_back(entry.block);
      return true;
    });
  }
}

}  // namespace shardsim
