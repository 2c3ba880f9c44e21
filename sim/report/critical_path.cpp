#include "sim/report/critical_path.hpp"

#include <algorithm>
#include <optional>

namespace shardsim {

namespace {

class PathFinder {
 public:
  PathFinder(const Program& program, const ProgramOutcome& outcome)
      : program_(program), outcome_(outcome), launch_(program.tasks.size()), previous_(program.tasks.size()) {
    std::vector<TaskId> last(program.streams.size());
    for (std::size_t i = 0; i < outcome.instants.size(); ++i) {
      if (program.instructions[i].kind != Instruction::Kind::launch) continue;
      const TaskId task(program.instructions[i].index);
      launch_[task.index()] = i;
      TaskId& before = last[program.tasks[task.index()].stream.index()];
      previous_[task.index()] = before;
      before = task;
    }
  }

  std::vector<CriticalPiece> find(Time begin, Time end) const {
    std::vector<CriticalPiece> path;
    std::optional<TaskId> task = last_done(end);
    while (task) {
      const Span& span = outcome_.spans[task->index()];
      add(path, {*task, span.start, span.end}, begin, end);
      if (span.start <= begin) break;
      task = before(*task, path, begin, end);
    }
    std::reverse(path.begin(), path.end());
    return path;
  }

 private:
  static void add(std::vector<CriticalPiece>& path, CriticalPiece piece, Time begin, Time end) {
    piece.begin = std::max(piece.begin, begin);
    piece.end = std::min(piece.end, end);
    if (piece.end > piece.begin) path.push_back(piece);
  }

  Time end_of(TaskId task) const { return outcome_.spans[task.index()].end; }

  std::optional<TaskId> last_done(Time end) const {
    std::optional<TaskId> last;
    for (std::size_t t = 0; t < program_.tasks.size(); ++t) {
      const TaskId task(t);
      if (end_of(task) <= end && (!last || end_of(task) >= end_of(*last))) last = task;
    }
    return last;
  }

  /// What the task's start waited for; a piece of the host thread goes into `path` by itself.
  std::optional<TaskId> before(TaskId task, std::vector<CriticalPiece>& path, Time begin, Time end) const {
    const Task& of = program_.tasks[task.index()];
    std::optional<TaskId> latest;
    if (previous_[task.index()].valid()) latest = previous_[task.index()];
    for (std::uint32_t w = of.waits_begin; w < of.waits_end; ++w) {
      const TaskId wait = program_.waits[w];
      if (!latest || end_of(wait) > end_of(*latest)) latest = wait;
    }
    const std::size_t launch = launch_[task.index()];
    if (latest && end_of(*latest) >= outcome_.instants[launch]) return latest;
    return through_host(launch, outcome_.spans[task.index()].start, path, begin, end);
  }

  /// From a launch back to the task for which the host thread last had to wait.
  std::optional<TaskId> through_host(std::size_t launch, Time start, std::vector<CriticalPiece>& path, Time begin,
                                     Time end) const {
    for (std::size_t i = launch; i > 0; --i) {
      const Instruction instruction = program_.instructions[i];
      if (instruction.kind != Instruction::Kind::synchronize) continue;
      if (outcome_.instants[i] <= outcome_.instants[i - 1]) continue;
      add(path, {{}, outcome_.instants[i], start}, begin, end);
      return TaskId(instruction.index);
    }
    add(path, {{}, begin, start}, begin, end);
    return {};
  }

  const Program& program_;
  const ProgramOutcome& outcome_;
  std::vector<std::size_t> launch_;  ///< instruction, by task
  std::vector<TaskId> previous_;     ///< on the same stream, by task
};

}  // namespace

std::vector<CriticalPiece> critical_path(const Program& program, const ProgramOutcome& outcome, Time begin, Time end) {
  return PathFinder(program, outcome).find(begin, end);
}

}  // namespace shardsim
