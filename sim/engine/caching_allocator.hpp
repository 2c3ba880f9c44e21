// PyTorch's caching allocator for device memory, by its rules rather than a factor.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "model/core/units.hpp"
#include "sim/engine/free_list.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// Follows c10/cuda/CUDACachingAllocator.cpp (PyTorch 2.13), operation by operation, with no max_split_size and no
/// garbage collection. Addresses are those of a device that hands out segments one after the other.
class CachingAllocator {
 public:
  enum class Segments : std::uint8_t {
    fixed,      ///< each cudaMalloc is a segment of its own, given back when all of it is free
    expandable  ///< PYTORCH_ALLOC_CONF=expandable_segments:True: segments that grow, and shrink, page by page
  };

  /// `limit`: what segments may take of the device before cached ones are given back. `device_bytes`: the whole device,
  /// whose size bounds the addresses of an expandable segment; 0: the limit.
  CachingAllocator(std::size_t streams, std::int64_t limit, Segments segments = Segments::fixed,
                   std::int64_t device_bytes = 0);

  /// What a request takes at least.
  static constexpr std::int64_t rounded(std::int64_t bytes) { return round_up(bytes, 512); }

  /// The smallest cached block of the stream that fits, split where the rules allow, else one from new device memory.
  /// When that would pass the limit, what is wholly free is given back first; what is still too much is taken anyway,
  /// because not fitting is a result. Blocks whose other users are done by `now` serve again first. No bytes, no block:
  /// the id is not valid.
  BlockId allocate(StreamId stream, std::int64_t bytes, Time now = {});
  /// Free at once for its own stream, joined with its free neighbours. `until` (later than 0): another stream works on
  /// it until then (Tensor.record_stream), so that it serves again from the first allocation from then on, or when
  /// memory runs short.
  void release(BlockId block, Time until = {});
  /// torch.cuda.empty_cache(): gives back every wholly free segment, and every wholly free page of expandable ones.
  void release_cached_segments();

  /// The most that segments took, or would have taken where the limit made them give back first.
  std::int64_t most_wanted() const { return most_wanted_; }
  /// A segment of device memory, or pages of an expandable one, as taken from the device or given back to it.
  struct SegmentEvent {
    bool taken = true;
    std::int64_t address = 0;
    std::int64_t size = 0;
    StreamId stream;
    bool large = false;  ///< of the large pool
  };
  /// Calls `watcher` for each from now on.
  void watch_segments(std::function<void(const SegmentEvent&)> watcher) { watcher_ = std::move(watcher); }

  std::int64_t address(BlockId block) const { return at(block).address; }
  std::int64_t size(BlockId block) const { return block.valid() ? blocks_[block.index()].size : 0; }
  std::int64_t allocated() const { return allocated_.value(); }  ///< as torch.cuda.memory_allocated()
  std::int64_t reserved() const { return reserved_.value(); }    ///< as torch.cuda.memory_reserved()

 private:
  enum class State : std::uint8_t {
    used,     ///< allocated, or waiting for another stream
    cached,   ///< in its pool's free list
    unmapped  ///< addresses of an expandable segment with no memory behind them
  };
  struct Block {
    std::int64_t address = 0;
    std::int64_t size = 0;
    BlockId previous, next;  ///< neighbours in the segment
    std::uint32_t pool = 0;
    State state = State::used;
    std::int64_t segment = 0;  ///< address where its segment begins
  };
  struct Deferred {
    BlockId block;
    Time until;
  };

  static bool is_segment(const Block& block) { return !block.previous.valid() && !block.next.valid(); }
  Block& at(BlockId id) { return blocks_[id.index()]; }
  const Block& at(BlockId id) const { return blocks_[id.index()]; }
  bool is(BlockId id, State state) const { return id.valid() && at(id).state == state; }

  void tell_watcher(bool taken, std::int64_t address, std::int64_t bytes, std::uint32_t pool) const;
  BlockId new_block(const Block& block);
  BlockId take_cached(std::uint32_t pool, std::int64_t size);
  BlockId take_new(std::uint32_t pool, std::int64_t size, bool whatever_the_limit);
  BlockId new_segment(std::uint32_t pool, std::int64_t size, bool whatever_the_limit);
  bool worth_splitting(const Block& block, std::int64_t size) const;
  void split(BlockId block, std::int64_t size, State rest);
  BlockId merge(BlockId left, BlockId right);
  void make_free(BlockId block);
  void put_free(BlockId block);
  void take_free(BlockId block);
  void serve_again(Time now);
  void release_whole_segments(std::uint32_t pool);

  // expandable_segments.cpp
  FreeList::Position best_to_expand(const FreeList& list, FreeList::Position fits) const;
  std::int64_t expandable_size(BlockId block) const;
  BlockId expand(std::uint32_t pool, std::int64_t size, bool whatever_the_limit);
  BlockId find_addresses(std::uint32_t pool, std::int64_t size);
  BlockId new_addresses(std::uint32_t pool, std::int64_t size);
  BlockId map(BlockId block, std::int64_t size, bool whatever_the_limit);
  void put_unmapped(BlockId block);
  void take_unmapped(BlockId block);
  void unmap_free_pages(std::uint32_t pool);
  void unmap(BlockId block);

  std::vector<Block> blocks_;
  std::vector<BlockId> vacant_;
  std::vector<FreeList> pools_;                 ///< 2 * stream + (0 small, 1 large)
  std::vector<std::vector<BlockId>> unmapped_;  ///< by pool, then address
  std::vector<std::int64_t> cached_segments_;   ///< wholly free segments, by pool
  std::vector<Deferred> deferred_;
  Segments segments_;
  std::int64_t limit_;
  std::int64_t device_bytes_;
  std::int64_t most_wanted_ = 0;
  Bytes next_address_, allocated_, reserved_;
  std::function<void(const SegmentEvent&)> watcher_;
};

}  // namespace shardsim
