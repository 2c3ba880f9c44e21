#include "sim/engine/check_plan.hpp"

#include <cmath>

#include "model/core/check.hpp"

namespace shardsim {

namespace {

bool is_amount(double value) { return std::isfinite(value) && value >= 0; }

void check_transfers(const Plan& plan) {
  for (const PlanLink& link : plan.links) SHARDSIM_CHECK(is_amount(link.capacity), "a capacity is a finite amount");
  for (const TransferUse& use : plan.uses) {
    SHARDSIM_CHECK(use.link < plan.links.size(), "a transfer uses links that exist");
    SHARDSIM_CHECK(std::isfinite(use.share) && use.share > 0, "a share of a link is finite and above zero");
  }
  for (const Transfer& transfer : plan.transfers) {
    SHARDSIM_CHECK(is_amount(transfer.bytes) && is_amount(transfer.limit), "bytes and limits are finite amounts");
    SHARDSIM_CHECK(std::isfinite(transfer.weight) && transfer.weight > 0, "a weight is finite and above zero");
    SHARDSIM_CHECK(transfer.latency >= Time{}, "time does not run backwards");
    SHARDSIM_CHECK(transfer.uses_begin <= transfer.uses_end && transfer.uses_end <= plan.uses.size(),
                   "a transfer's uses are a range of Plan::uses");
    SHARDSIM_CHECK(transfer.participants > 0, "a transfer has a participant");
  }
}

void check_task(const Task& task, const Program& program, const Plan& plan) {
  SHARDSIM_CHECK(task.stream.index() < program.streams.size(), "a task runs on one of the program's streams");
  SHARDSIM_CHECK(!task.transfer.valid() || task.transfer.index() < plan.transfers.size(), "a task's transfer exists");
  SHARDSIM_CHECK(task.issue >= Time{} && task.duration >= Time{}, "time does not run backwards");
  SHARDSIM_CHECK(task.waits_begin <= task.waits_end && task.waits_end <= program.waits.size(),
                 "a task's waits are a range of Program::waits");
  SHARDSIM_CHECK(!task.label.valid() || task.label.index() < plan.labels.size(), "a task's label exists");
  SHARDSIM_CHECK(task.step < plan.steps, "a task belongs to a step of the plan");
}

void check_instructions(const Program& program) {
  std::vector<bool> launched(program.tasks.size()), live(program.tensors.size());
  std::size_t launches = 0;
  for (const Instruction& instruction : program.instructions) {
    const std::size_t i = instruction.index;
    switch (instruction.kind) {
      case Instruction::Kind::launch:
        SHARDSIM_CHECK(i < launched.size() && !launched[i], "a task is launched once");
        launched[i] = true;
        ++launches;
        break;
      case Instruction::Kind::synchronize:
        SHARDSIM_CHECK(i < launched.size(), "the host waits for a task that exists");
        break;
      case Instruction::Kind::allocate:
        SHARDSIM_CHECK(i < live.size() && !live[i], "a tensor is allocated while it is not live");
        live[i] = true;
        break;
      case Instruction::Kind::release:
        SHARDSIM_CHECK(i < live.size() && live[i], "a tensor is freed while it is live");
        live[i] = false;
        break;
      case Instruction::Kind::mark:
        SHARDSIM_CHECK(i < program.marks.size(), "a mark exists");
        break;
      case Instruction::Kind::empty_cache:
        break;
    }
  }
  SHARDSIM_CHECK(launches == launched.size(), "every task is launched");
}

void check_program(const Program& program, const Plan& plan) {
  SHARDSIM_CHECK(program.host_class < plan.host_classes.size(), "a program's host class exists");
  for (const Task& task : program.tasks) check_task(task, program, plan);
  for (const TaskId wait : program.waits) {
    SHARDSIM_CHECK(wait.index() < program.tasks.size(), "a task waits for tasks of its program");
  }
  for (const Tensor& tensor : program.tensors) {
    SHARDSIM_CHECK(tensor.bytes >= 0, "a tensor has no negative size");
    SHARDSIM_CHECK(tensor.pool != Pool::device || tensor.stream.index() < program.streams.size(),
                   "a device tensor is allocated on one of the program's streams");
  }
  for (const Mark& mark : program.marks) SHARDSIM_CHECK(mark.step < plan.steps, "a mark belongs to a step of the plan");
  check_instructions(program);
}

}  // namespace

void check_plan(const Plan& plan) {
  SHARDSIM_CHECK(plan.steps > 0, "a plan has a step");
  check_transfers(plan);
  for (const Program& program : plan.programs) check_program(program, plan);
}

}  // namespace shardsim
