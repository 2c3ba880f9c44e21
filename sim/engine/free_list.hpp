// What a pool of the caching allocator has free.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "model/core/id.hpp"

namespace shardsim {

using BlockId = Id<struct BlockTag>;

/// Free blocks. A training run asks for few sizes again and again: each has a shelf of its own, on which the lowest
/// address lies last, so that most blocks come and go without moving another. There are about ten shelves at a time,
/// in no order.
class FreeList {
 public:
  /// Of a block, valid until one comes or goes.
  struct Position {
    std::size_t shelf = 0;
    std::size_t entry = 0;
  };

  /// The smallest block of at least `size`, at the lowest address; end() if there is none.
  Position smallest_of_at_least(std::int64_t size) const {
    const std::size_t shelf = shelf_of_at_least(size);
    return shelf == sizes_.size() ? end() : Position{shelf, entries_[shelf].size() - 1};
  }
  /// The one after it, by size, then address.
  Position next(Position position) const {
    if (position.entry > 0) return {position.shelf, position.entry - 1};
    return smallest_of_at_least(sizes_[position.shelf] + 1);
  }
  Position end() const { return {sizes_.size(), 0}; }
  bool is_end(Position position) const { return position.shelf == sizes_.size(); }
  BlockId block(Position position) const { return entries_[position.shelf][position.entry].block; }

  void put(std::int64_t size, std::int64_t address, BlockId block) {
    std::vector<Entry>& shelf = shelf_of(size);
    if (shelf.empty() || address < shelf.back().address) {
      shelf.push_back({address, block});
    } else {
      shelf.insert(find(shelf, address), {address, block});
    }
  }
  void take(Position position) {
    std::vector<Entry>& shelf = entries_[position.shelf];
    shelf.erase(shelf.begin() + static_cast<std::ptrdiff_t>(position.entry));
    if (shelf.empty()) clear(position.shelf);
  }
  /// A block that is there.
  void take(std::int64_t size, std::int64_t address) {
    const std::size_t s = shelf_of_at_least(size);
    std::vector<Entry>& shelf = entries_[s];
    shelf.erase(shelf.back().address == address ? shelf.end() - 1 : find(shelf, address));
    if (shelf.empty()) clear(s);
  }
  /// By size, then address.
  std::vector<BlockId> blocks() const {
    std::vector<BlockId> all;
    for (Position p = smallest_of_at_least(0); !is_end(p); p = next(p)) all.push_back(block(p));
    return all;
  }

 private:
  struct Entry {
    std::int64_t address;
    BlockId block;
  };

  static std::vector<Entry>::iterator find(std::vector<Entry>& shelf, std::int64_t address) {
    return std::lower_bound(shelf.begin(), shelf.end(), address,
                            [](const Entry& entry, std::int64_t wanted) { return entry.address > wanted; });
  }

  // Where a shelf of this size stood last is remembered; else looks at each, which takes no branch that nobody can
  // foresee, as a search would.
  std::size_t shelf_of_at_least(std::int64_t size) const {
    std::uint8_t& guess = guesses_[static_cast<std::uint64_t>(size) * 0x9e3779b97f4a7c15ULL >> 58];
    if (guess < sizes_.size() && sizes_[guess] == size) return guess;
    std::size_t best = sizes_.size();
    std::uint64_t least = std::numeric_limits<std::int64_t>::max();
    for (std::size_t s = 0; s < sizes_.size(); ++s) {
      const std::uint64_t more = static_cast<std::uint64_t>(sizes_[s]) - static_cast<std::uint64_t>(size);
      best = more < least ? s : best;  // a smaller one wraps around
      least = std::min(least, more);
    }
    guess = static_cast<std::uint8_t>(best);
    return best;
  }

  std::vector<Entry>& shelf_of(std::int64_t size) {
    const std::size_t s = shelf_of_at_least(size);
    if (s < sizes_.size() && sizes_[s] == size) return entries_[s];
    sizes_.push_back(size);
    if (entries_.size() < sizes_.size()) entries_.emplace_back();
    return entries_[sizes_.size() - 1];
  }

  void clear(std::size_t shelf) {
    std::swap(entries_[shelf], entries_[sizes_.size() - 1]);
    sizes_[shelf] = sizes_.back();
    sizes_.pop_back();
  }

  mutable std::array<std::uint8_t, 64> guesses_{};  ///< of a shelf's place, by its size
  std::vector<std::int64_t> sizes_;                 ///< of the shelves that are not empty
  std::vector<std::vector<Entry>> entries_;         ///< likewise, by descending address; then empty ones
};

}  // namespace shardsim
