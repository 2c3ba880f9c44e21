#include "sim/sweep/run.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "model/core/error.hpp"

namespace shardsim {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t interrupted = 0;
void interrupt(int) { interrupted = 1; }

/// Ranges wait here for this rank's threads.
class Queue {
 public:
  void push(const Range& range) {
    const std::lock_guard lock(mutex_);
    ranges_.push_back(range);
  }
  std::optional<Range> pop() {
    const std::lock_guard lock(mutex_);
    if (ranges_.empty()) return {};
    const Range range = ranges_.front();
    ranges_.pop_front();
    return range;
  }
  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return ranges_.size();
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    ranges_.clear();
  }

 private:
  std::mutex mutex_;
  std::deque<Range> ranges_;
};

class RankRun {
 public:
  RankRun(Ranks& ranks, const SweepWork& work, const SweepSettings& settings)
      : ranks_(ranks),
        work_(work),
        settings_(settings),
        threads_(static_cast<std::size_t>(thread_count(settings.threads, ranks.size()))) {
    progress_.points = work.points;
    if (ranks_.first()) plan();
    others_at_work_ = ranks_.first() ? ranks_.size() - 1 : 0;
  }

  bool run() {
    open_journal();
#ifdef _OPENMP
#pragma omp parallel num_threads(static_cast <int>(threads_))
    work_off(omp_get_thread_num() == 0);
#else
    work_off(true);
#endif
    sync();
    finish();
    if (!failure_.empty() && ranks_.first()) throw InputError(failure_, "", "");
    return stopped_ == 0;
  }

 private:
  void open_journal() {
    try {
      journal_.emplace(settings_.folder / ("rank-" + std::to_string(ranks_.rank()) + ".journal"), work_.identity);
    } catch (const InputError& error) {
      failure_ = error.what();
      stopped_ = 2;
    }
  }

  void plan() {
    const std::vector<Record> done = read_journals(settings_.folder, work_.identity, work_.points);
    std::uint64_t missing = work_.points;
    for (const Record& record : done) missing -= record.range.count;
    progress_.done_before = work_.points - missing;
    // Small enough that the last ranges end together, large enough that handing out costs nothing.
    const std::uint64_t workers = threads_ * static_cast<std::uint64_t>(ranks_.size());
    ranges_ = missing_ranges(done, work_.points, std::clamp<std::uint64_t>(missing / (32 * workers), 1, 1024));
  }

  /// One thread: the main one also talks to the other ranks, between points.
  void work_off(bool main_thread) {
    EvaluatePoint evaluate;
    while (stopped_ == 0) {
      if (main_thread) talk();
      const auto range = next_range();
      if (!range && nothing_left_) break;
      if (!range) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
        continue;
      }
      if (!evaluate) evaluate = work_.make_evaluation();
      do_range(*range, evaluate, main_thread);
    }
  }

  void do_range(const Range& range, const EvaluatePoint& evaluate, bool main_thread) {
    std::string results;
    std::uint64_t done = 0;
    while (done < range.count && interrupted == 0) {
      const std::uint64_t index = range.first + done;
      note(index, evaluate(index, results));
      ++done;
      if (main_thread) talk();
    }
    if (interrupted != 0) stopped_ = 1;
    if (done > 0) keep({range.first, done}, results);
  }

  void note(std::uint64_t index, const std::optional<double>& score) {
    ++done_;
    if (!score) return;
    const std::lock_guard lock(mutex_);
    if (*score < best_ || (*score == best_ && index < best_index_)) best_ = *score, best_index_ = index;
  }

  void keep(const Range& range, const std::string& results) {
    const std::lock_guard lock(mutex_);
    try {
      if (stopped_ == 2) return;
      journal_->append(range, results);
      if (Clock::now() - synced_ < std::chrono::seconds(1)) return;
      journal_->sync();
      synced_ = Clock::now();
    } catch (const InputError& error) {
      failure_ = error.what();
      stopped_ = 2;
    }
  }

  /// When all threads are done.
  void sync() {
    if (!journal_ || stopped_ == 2) return;
    try {
      journal_->sync();
    } catch (const InputError& error) {
      failure_ = error.what();
      stopped_ = 2;
    }
  }

  std::optional<Range> next_range() {
    if (const auto range = queue_.pop()) return range;
    if (!ranks_.first()) return {};
    const std::lock_guard lock(mutex_);
    return take();
  }

  /// On rank 0, under the lock.
  std::optional<Range> take() {
    if (next_ == ranges_.size() || stopped_ != 0) {
      nothing_left_ = true;
      return {};
    }
    return ranges_[next_++];
  }

  void talk() {
    if (interrupted != 0) stopped_ = 1;
    if (ranks_.first()) {
      serve();
      show();
    } else {
      ask();
    }
  }

  void serve() {
    int from = 0;
    while (const auto message = ranks_.receive_at_first(from)) {
      others_.resize(static_cast<std::size_t>(ranks_.size()));
      others_[static_cast<std::size_t>(from)] = *message;
      if (message->kind == RankMessage::Kind::finished) {
        --others_at_work_;
      } else if (message->kind == RankMessage::Kind::failed) {
        --others_at_work_;
        failure_ = message->text;
        stopped_ = 2;
      } else {
        const std::lock_guard lock(mutex_);
        ranks_.grant(from, take().value_or(Range{}));
      }
    }
  }

  /// One range ahead of every thread hides the time that an answer takes.
  void ask() {
    while (const auto range = ranks_.receive_grant()) {
      --asked_;
      if (range->count == 0) {
        nothing_left_ = true;
      } else {
        queue_.push(*range);
      }
    }
    while (!nothing_left_ && stopped_ == 0 && asked_ + queue_.size() < threads_ + 1) {
      ranks_.send_to_first(state(RankMessage::Kind::wants_range));
      ++asked_;
    }
  }

  RankMessage state(RankMessage::Kind kind) {
    const std::lock_guard lock(mutex_);
    RankMessage message{kind, done_, best_, best_index_, {}};
    std::strncpy(message.text, failure_.c_str(), sizeof message.text - 1);
    return message;
  }

  /// Rank 0 leaves last, when all others have said goodbye.
  void finish() {
    while (!ranks_.first() && asked_ > 0) {
      if (ranks_.receive_grant()) --asked_;
    }
    if (!ranks_.first()) {
      ranks_.send_to_first(state(stopped_ == 2 ? RankMessage::Kind::failed : RankMessage::Kind::finished));
      return;
    }
    while (others_at_work_ > 0) {
      serve();
      show();
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    shown_ = {};
    show();
  }

  void show() {
    const Clock::time_point now = Clock::now();
    if (!settings_.show || now - shown_ < std::chrono::milliseconds(200)) return;
    shown_ = now;
    SweepProgress progress = progress_;
    const RankMessage own = state(RankMessage::Kind::wants_range);
    progress.done = progress.done_before + own.done;
    progress.best = own.best;
    progress.best_index = own.best_index;
    for (const RankMessage& other : others_) {
      progress.done += other.done;
      if (other.best < progress.best) progress.best = other.best, progress.best_index = other.best_index;
    }
    progress.seconds = std::chrono::duration<double>(now - begun_).count();
    settings_.show(progress);
  }

  Ranks& ranks_;
  const SweepWork& work_;
  const SweepSettings& settings_;
  std::size_t threads_;
  SweepProgress progress_;
  Clock::time_point begun_ = Clock::now(), synced_ = begun_, shown_ = begun_;

  std::vector<Range> ranges_;  ///< rank 0: what is missing
  std::size_t next_ = 0;
  std::vector<RankMessage> others_;  ///< rank 0: each one's last words
  int others_at_work_ = 0;

  Queue queue_;
  std::size_t asked_ = 0;  ///< grants still on their way
  std::atomic<bool> nothing_left_ = false;
  std::atomic<int> stopped_ = 0;  ///< 1: interrupted, 2: results cannot be kept
  std::atomic<std::uint64_t> done_ = 0;

  std::mutex mutex_;  ///< of all below, and of take()
  std::optional<Journal> journal_;
  double best_ = std::numeric_limits<double>::infinity();
  std::uint64_t best_index_ = 0;
  std::string failure_;
};

}  // namespace

bool sweep_interrupted() { return interrupted != 0; }

int thread_count(int threads, int ranks_on_machine) {
  if (threads > 0) return threads;
#ifdef _OPENMP
  return std::max(1, omp_get_num_procs() / std::max(1, ranks_on_machine));
#else
  return 1;
#endif
}

bool run_sweep(Ranks& ranks, const SweepWork& work, const SweepSettings& settings) {
  std::signal(SIGINT, interrupt);
  std::signal(SIGTERM, interrupt);
  return RankRun(ranks, work, settings).run();
}

}  // namespace shardsim
