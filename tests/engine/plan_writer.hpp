// Small plans, written the way a test wants to read them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/plan/plan.hpp"

namespace shardsim {

inline constexpr std::int64_t KiB = 1024, MiB = 1024 * KiB, GiB = 1024 * MiB;

inline Time microseconds(std::int64_t count) { return Time(count * 1'000'000); }

class PlanWriter {
 public:
  PlanWriter() { plan.host_classes.push_back({"host0", 1, 1024 * GiB, 1024 * GiB}); }

  std::uint32_t link(double capacity) {
    PlanLink link;
    link.id = "link" + std::to_string(plan.links.size());
    link.bandwidth = link.capacity = capacity;
    plan.links.push_back(link);
    return static_cast<std::uint32_t>(plan.links.size() - 1);
  }

  /// `settings` carries what a test wants beside bytes and uses: latency, limit, weight, participants.
  TransferId transfer(double bytes, const std::vector<TransferUse>& uses, Transfer settings = {}) {
    settings.bytes = bytes;
    settings.uses_begin = static_cast<std::uint32_t>(plan.uses.size());
    plan.uses.insert(plan.uses.end(), uses.begin(), uses.end());
    settings.uses_end = static_cast<std::uint32_t>(plan.uses.size());
    plan.transfers.push_back(settings);
    return TransferId(plan.transfers.size() - 1);
  }

  std::size_t program(std::size_t streams = 1) {
    Program program;
    program.capacity_bytes = 80 * GiB;
    for (std::size_t s = 0; s < streams; ++s) program.streams.push_back("stream" + std::to_string(s));
    plan.programs.push_back(program);
    return plan.programs.size() - 1;
  }

  TaskId compute(std::size_t program, std::size_t stream, Time duration, const std::vector<TaskId>& waits = {},
                 Time issue = {}) {
    Task task;
    task.duration = duration;
    task.issue = issue;
    return launch(program, stream, task, waits);
  }

  TaskId move(std::size_t program, std::size_t stream, TransferId transfer, const std::vector<TaskId>& waits = {},
              Time issue = {}) {
    Task task;
    task.kind = TaskKind::copy;
    task.transfer = transfer;
    task.issue = issue;
    return launch(program, stream, task, waits);
  }

  void synchronize(std::size_t program, TaskId task) {
    instruct(program, Instruction::Kind::synchronize, task.index());
  }

  TensorId allocate(std::size_t program, Pool pool, std::int64_t bytes, Category category = Category::activations,
                    std::size_t stream = 0) {
    std::vector<Tensor>& tensors = plan.programs[program].tensors;
    tensors.push_back({pool, category, StreamId(stream), bytes, {}, -1});
    instruct(program, Instruction::Kind::allocate, tensors.size() - 1);
    return TensorId(tensors.size() - 1);
  }

  void release(std::size_t program, TensorId tensor) { instruct(program, Instruction::Kind::release, tensor.index()); }

  /// Begins `step`: tasks and allocations written from here on belong to it.
  void step(std::size_t program, std::uint16_t number) {
    step_ = number;
    plan.steps = std::max<std::uint16_t>(plan.steps, static_cast<std::uint16_t>(number + 1));
    std::vector<Mark>& marks = plan.programs[program].marks;
    marks.push_back({Phase::forward, number, -1, {}});
    instruct(program, Instruction::Kind::mark, marks.size() - 1);
  }

  Plan plan;

 private:
  TaskId launch(std::size_t program, std::size_t stream, Task task, const std::vector<TaskId>& waits) {
    Program& p = plan.programs[program];
    task.stream = StreamId(stream);
    task.step = step_;
    task.waits_begin = static_cast<std::uint32_t>(p.waits.size());
    p.waits.insert(p.waits.end(), waits.begin(), waits.end());
    task.waits_end = static_cast<std::uint32_t>(p.waits.size());
    p.tasks.push_back(task);
    instruct(program, Instruction::Kind::launch, p.tasks.size() - 1);
    return TaskId(p.tasks.size() - 1);
  }

  void instruct(std::size_t program, Instruction::Kind kind, std::size_t index) {
    plan.programs[program].instructions.push_back({kind, static_cast<std::uint32_t>(index)});
  }

  std::uint16_t step_ = 0;
};

}  // namespace shardsim
