// The processes that `mpirun` started together; one alone without MPI. Only the main thread may call these.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/sweep/journal.hpp"

namespace shardsim {

/// What a rank tells rank 0, each time that it wants a range and when it is done.
struct RankMessage {
  enum class Kind : std::uint8_t { wants_range, failed, finished };
  Kind kind = Kind::wants_range;
  std::uint64_t done = 0;                                 ///< points so far
  double best = std::numeric_limits<double>::infinity();  ///< the smallest score so far
  std::uint64_t best_index = 0;
  char text[512] = {};  ///< why it failed
};

class Ranks {
 public:
  /// Joins the others. Throws InputError when a launcher of another MPI started this program several times over, which
  /// would do all the work as many times.
  Ranks();
  ~Ranks();
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool first() const { return rank_ == 0; }

  /// Says why on stderr and ends all ranks with `status`.
  [[noreturn]] void abort(std::string_view why, int status);

  /// Rank 0's text, on all.
  std::string broadcast(std::string text);
  int broadcast(int value);

  /// What each rank says, by rank, on rank 0; nothing on the others.
  std::vector<std::string> gather(const std::string& text);

  void send_to_first(const RankMessage& message);
  /// To rank 0 from another, if one has arrived; `from` is set to its rank.
  std::optional<RankMessage> receive_at_first(int& from);
  /// An empty range: there is nothing left.
  void grant(int to, const Range& range);
  std::optional<Range> receive_grant();

 private:
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace shardsim
