// A long list of independent points, worked off by the threads of one or many ranks, its results safe on disk.
//
// Ranges of points are handed out as they are asked for, so that slow points hold nobody up. Which rank or thread works
// on what never shows: results are read back in the order of the points.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "sim/sweep/journal.hpp"
#include "sim/sweep/ranks.hpp"

namespace shardsim {

/// Appends the point's result to `result`. The score of the point, smaller is better; absent: it does not count.
using EvaluatePoint = std::function<std::optional<double>(std::uint64_t index, std::string& result)>;

struct SweepWork {
  std::uint64_t points = 0;
  std::string identity;                            ///< two runs with the same identity do the same work
  std::function<EvaluatePoint()> make_evaluation;  ///< once a thread, by that thread
};

struct SweepProgress {
  std::uint64_t done = 0;         ///< points, those of earlier runs too
  std::uint64_t done_before = 0;  ///< in earlier runs
  std::uint64_t points = 0;
  double best = std::numeric_limits<double>::infinity();  ///< score of this run
  std::uint64_t best_index = 0;
  double seconds = 0;  ///< since this run began
};

struct SweepSettings {
  std::filesystem::path folder;                    ///< of the journals; made where it is missing
  int threads = 0;                                 ///< a rank; 0: all cores, divided among the ranks of a machine
  std::function<void(const SweepProgress&)> show;  ///< on rank 0, several times a second
};

/// True once SIGINT or SIGTERM has arrived; set up by run_sweep().
bool sweep_interrupted();

/// Works off what the folder's journals lack. True when all is done, on every rank; false when it was interrupted.
/// Throws InputError, on rank 0, where results cannot be kept.
bool run_sweep(Ranks& ranks, const SweepWork& work, const SweepSettings& settings);

/// How many threads `threads` (0: all) stands for.
int thread_count(int threads, int ranks_on_machine);

}  // namespace shardsim
