// PyTorch's caching allocator for device memory, by its rules rather than a factor.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "model/core/units.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// Follows c10/cuda/CUDACachingAllocator.cpp with its default settings (no max_split_size, no garbage collection, no
/// expandable segments). Addresses are those of a device that hands out segments one after the other.
class CachingAllocator {
 public:
  using BlockId = Id<struct BlockTag>;

  /// `limit`: what segments may take of the device before cached ones are given back.
  CachingAllocator(std::size_t streams, std::int64_t limit);

  /// The smallest cached block of the stream that fits, split where the rules allow, else one from a new segment. When
  /// that would pass the limit, all wholly free segments are given back first; what is still too much is taken anyway,
  /// because not fitting is a result. No bytes, no block: the id is not valid.
  BlockId allocate(StreamId stream, std::int64_t bytes);
  /// Free at once for its own stream, joined with its free neighbours.
  void release(BlockId block);
  /// torch.cuda.empty_cache(): gives back every wholly free segment.
  void release_cached_segments();

  /// The most that segments took, or would have taken where the limit made them give back first.
  std::int64_t most_wanted() const { return most_wanted_; }
  /// A segment of device memory, as it is taken from the device or given back to it.
  struct SegmentEvent {
    bool taken = true;
    std::int64_t address = 0;
    std::int64_t size = 0;
    StreamId stream;
    bool large = false;  ///< of the large pool
  };
  /// Calls `watcher` for each from now on.
  void watch_segments(std::function<void(const SegmentEvent&)> watcher) { watcher_ = std::move(watcher); }

  std::int64_t address(BlockId block) const { return blocks_[block.index()].address; }
  std::int64_t size(BlockId block) const { return block.valid() ? blocks_[block.index()].size : 0; }
  std::int64_t allocated() const { return allocated_.value(); }  ///< as torch.cuda.memory_allocated()
  std::int64_t reserved() const { return reserved_.value(); }    ///< as torch.cuda.memory_reserved()

 private:
  struct Block {
    std::int64_t address = 0;
    std::int64_t size = 0;
    BlockId previous, next;  ///< neighbours in the segment
    std::uint32_t pool = 0;
    bool free = false;
  };
  struct Free {
    std::int64_t size;
    std::int64_t address;
    BlockId block;
    auto operator<=>(const Free&) const = default;
  };
  using FreeList = std::vector<Free>;  ///< by size, then address

  /// Where the first entry that is not before it stands.
  static FreeList::iterator lower_bound(FreeList& list, std::int64_t size, std::int64_t address);
  void tell_watcher(bool taken, const Block& segment) const;
  BlockId new_block(const Block& block);
  BlockId take_cached(std::uint32_t pool, std::int64_t size);
  BlockId new_segment(std::uint32_t pool, std::int64_t size);
  void split(BlockId block, std::int64_t size);
  BlockId merge(BlockId left, BlockId right);
  void put_free(BlockId block);
  void take_free(BlockId block);

  std::vector<Block> blocks_;
  std::vector<BlockId> vacant_;
  static bool is_segment(const Block& block) { return !block.previous.valid() && !block.next.valid(); }

  std::vector<FreeList> pools_;                ///< 2 * stream + (0 small, 1 large)
  std::vector<std::int64_t> cached_segments_;  ///< wholly free segments, by pool
  std::int64_t limit_;
  std::int64_t most_wanted_ = 0;
  Bytes next_address_, allocated_, reserved_;
  std::function<void(const SegmentEvent&)> watcher_;
};

}  // namespace shardsim
