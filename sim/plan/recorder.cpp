#include "sim/plan/recorder.hpp"

#include <algorithm>
#include <utility>

#include "model/core/check.hpp"
#include "sim/cost/constants.hpp"

namespace shardsim {

Recorder::Recorder(Cluster& cluster, DeviceClassId device_class, Plan& plan)
    : cluster_(cluster),
      device_class_(device_class),
      plan_(plan),
      device_(cluster.topology().devices[cluster.fold().devices[device_class.index()].front().index()]),
      times_(device_.spec) {
  for (const DeviceId member : cluster.fold().devices[device_class.index()]) {
    program_.devices.push_back(static_cast<std::uint32_t>(member.index()));
  }
  const std::uint32_t host_class = cluster.host_class_of(device_class);
  program_.host_class = host_class;
  program_.ranks_per_host = static_cast<std::uint32_t>(program_.devices.size()) / plan.host_classes[host_class].count;
  program_.capacity_bytes = device_.spec.memory.value();
  program_.outside_bytes = device_.spec.context_memory.value();
  for (const std::int64_t ranks : {world(), replicas()}) {
    if (ranks > 1) program_.outside_bytes += device_.spec.nccl_memory.value();
  }
  program_.collective_slowdown = device_.spec.collective_slowdown;
  stream("compute");
  // Every record() needs a present, even before the first phase begins.
  mark(Phase::load, -1, "load");
}

StreamId Recorder::stream(std::string_view name) {
  for (std::size_t i = 0; i < program_.streams.size(); ++i) {
    if (program_.streams[i] == name) return StreamId(i);
  }
  program_.streams.emplace_back(name);
  last_.emplace_back();
  awaited_.emplace_back();
  return StreamId(program_.streams.size() - 1);
}

LabelId Recorder::label(std::string_view text) {
  const auto found = labels_.find(std::string(text));
  if (found != labels_.end()) return found->second;
  const auto known = std::find(plan_.labels.begin(), plan_.labels.end(), text);
  const LabelId id(static_cast<std::size_t>(known - plan_.labels.begin()));
  if (known == plan_.labels.end()) plan_.labels.emplace_back(text);
  labels_.emplace(text, id);
  return id;
}

TensorId Recorder::allocate(Category category, std::int64_t bytes, std::string_view text, StreamId stream) {
  return add_tensor({Pool::device, category, stream, bytes, label(text), layer_});
}

TensorId Recorder::allocate_from_graph(Category category, std::int64_t bytes, std::string_view text, AmountId amount) {
  const TensorId tensor = allocate(category, bytes, text);
  provenance_.tensors.push_back({static_cast<std::uint32_t>(tensor.index()), amount});
  return tensor;
}

TensorId Recorder::allocate_host(Pool pool, Category category, std::int64_t bytes, std::string_view text) {
  SHARDSIM_CHECK(pool != Pool::device, "device memory belongs to a stream");
  return add_tensor({pool, category, StreamId(0), bytes, label(text), layer_});
}

TensorId Recorder::add_tensor(const Tensor& tensor) {
  program_.tensors.push_back(tensor);
  foreign_.push_back(muted_);
  const TensorId id(program_.tensors.size() - 1);
  if (!muted_) {
    program_.instructions.push_back({Instruction::Kind::allocate, static_cast<std::uint32_t>(id.index())});
  }
  return id;
}

void Recorder::release(TensorId tensor) {
  SHARDSIM_CHECK(tensor.valid(), "only what was allocated can be freed");
  if (foreign_[tensor.index()]) return;
  program_.instructions.push_back({Instruction::Kind::release, static_cast<std::uint32_t>(tensor.index())});
}

void Recorder::reset(TensorId& tensor) {
  if (!tensor.valid()) return;
  release(tensor);
  tensor = TensorId{};
}

std::vector<TensorId> Recorder::live(Category category) const {
  std::vector<bool> is_live(program_.tensors.size());
  for (const Instruction& instruction : program_.instructions) {
    if (instruction.kind == Instruction::Kind::allocate) is_live[instruction.index] = true;
    if (instruction.kind == Instruction::Kind::release) is_live[instruction.index] = false;
  }
  std::vector<TensorId> found;
  for (std::size_t i = 0; i < is_live.size(); ++i) {
    if (is_live[i] && program_.tensors[i].category == category) found.emplace_back(i);
  }
  return found;
}

TaskId Recorder::launch(Task task) {
  if (muted_) return {};
  task.phase = phase_;
  task.step = step_;
  task.layer = layer_;
  task.issue = pending_ + times_.launch();
  pending_ = Time{};
  auto& awaited = awaited_[task.stream.index()];
  task.waits_begin = static_cast<std::uint32_t>(program_.waits.size());
  program_.waits.insert(program_.waits.end(), awaited.begin(), awaited.end());
  task.waits_end = static_cast<std::uint32_t>(program_.waits.size());
  awaited.clear();
  program_.tasks.push_back(task);
  const TaskId id(program_.tasks.size() - 1);
  program_.instructions.push_back({Instruction::Kind::launch, static_cast<std::uint32_t>(id.index())});
  last_[task.stream.index()] = id;
  return id;
}

TaskId Recorder::kernel(const Kernel& kernel, std::string_view text, StreamId stream) {
  provenance_.executed.push_back(own_amount);
  provenance_.other_flops.push_back(kernel.flops);
  return launch_kernel(kernel, text, stream);
}

void Recorder::kernel_from_graph(const Kernel& kernel, std::string_view text, AmountId amount) {
  provenance_.executed.push_back(amount);
  const TaskId task = launch_kernel(kernel, text, compute_stream());
  if (task.valid()) provenance_.kernels.push_back({static_cast<std::uint32_t>(task.index()), amount});
}

void Recorder::sum_from_graph(std::int64_t bytes, std::string_view text, AmountId amount) {
  const TaskId task = elementwise(gradient_sum_bytes(bytes), text);
  if (task.valid()) provenance_.sums.push_back({static_cast<std::uint32_t>(task.index()), amount});
}

TaskId Recorder::launch_kernel(const Kernel& kernel, std::string_view text, StreamId stream) {
  flops_ += kernel.flops;
  Task task;
  task.stream = stream;
  task.label = label(text);
  task.duration = times_.of(kernel);
  return launch(task);
}

TaskId Recorder::elementwise(double bytes, std::string_view text, StreamId stream) {
  Task task;
  task.stream = stream;
  task.label = label(text);
  task.duration = times_.of_bytes(bytes);
  return launch(task);
}

TaskId Recorder::copy(Direction direction, double bytes, bool pinned, std::string_view text, StreamId stream) {
  Task task;
  task.kind = TaskKind::copy;
  task.stream = stream;
  task.label = label(text);
  task.transfer = cluster_.copy(device_class_, direction, bytes, pinned);
  const TaskId id = launch(task);
  // cudaMemcpyAsync from or to pageable memory returns only when the data has been staged.
  if (!pinned) synchronize(id);
  return id;
}

void Recorder::collective(CollectiveKind kind, double total_bytes, std::string_view text, StreamId stream,
                          Group group) {
  if (cluster_.size(group) == 1) return;
  Communicated& communicated = communicators_[static_cast<std::size_t>(group)];
  spend(cost_constants().hooks.collective);
  wait(stream, communicated.last);
  Task task;
  task.kind = TaskKind::collective;
  task.stream = stream;
  task.label = label(text);
  task.transfer = cluster_.collective(group, device_class_, communicated.collectives++, kind, total_bytes);
  communicated.last = launch(task);
}

void Recorder::forget_communicator() {
  if (world() > 1) program_.outside_bytes -= device_.spec.nccl_memory.value();
}

void Recorder::rendezvous(Occasion kind, std::size_t sequence, StreamId stream) {
  Task task;
  task.kind = TaskKind::rendezvous;
  task.stream = stream;
  task.label = label("meet");
  task.transfer = cluster_.rendezvous(kind, sequence);
  launch(task);
}

TaskId Recorder::peer_copy(DeviceId from, double bytes, std::string_view text, StreamId stream) {
  Task task;
  task.kind = TaskKind::copy;
  task.stream = stream;
  task.label = label(text);
  task.transfer = cluster_.peer_copy(from, DeviceId(static_cast<std::size_t>(rank())), bytes);
  return launch(task);
}

void Recorder::barrier() {
  synchronize_device();
  for (const Group group : {Group::shard, Group::replicate}) {
    collective(CollectiveKind::all_reduce, 4, "barrier", compute_stream(), group);
  }
  synchronize_stream(compute_stream());
}

TaskId Recorder::storage(StorageAccess access, double bytes, std::string_view text, StreamId stream) {
  if (phase_ != Phase::save)
    (access == StorageAccess::read ? program_.storage_read : program_.storage_written) += bytes;
  Task task;
  task.kind = TaskKind::storage_io;
  task.stream = stream;
  task.label = label(text);
  task.transfer = cluster_.storage(device_class_, access, bytes);
  return launch(task);
}

void Recorder::host_work(double dram_bytes, double limit_bytes_per_second, std::string_view text) {
  Task task;
  task.kind = TaskKind::cpu;
  task.stream = stream("cpu");
  task.label = label(text);
  task.transfer = cluster_.host_work(device_class_, dram_bytes, limit_bytes_per_second);
  synchronize(launch(task));
}

void Recorder::wait(StreamId stream, TaskId event) {
  if (!event.valid()) return;
  // Tasks of one stream are ordered anyway.
  if (program_.tasks[event.index()].stream == stream) return;
  auto& awaited = awaited_[stream.index()];
  for (const TaskId known : awaited) {
    if (known == event) return;
  }
  awaited.push_back(event);
}

void Recorder::synchronize(TaskId event) {
  if (!event.valid()) return;
  program_.instructions.push_back({Instruction::Kind::synchronize, static_cast<std::uint32_t>(event.index())});
}

void Recorder::synchronize_device() {
  for (const TaskId event : last_) synchronize(event);
}

void Recorder::begin_step(std::uint16_t step) {
  step_ = step;
  program_.storage_read = program_.storage_written = 0;
}

void Recorder::mark(Phase phase, std::int32_t layer, std::string_view place) {
  phase_ = phase;
  layer_ = layer;
  program_.marks.push_back({phase, step_, layer, label(place)});
  program_.instructions.push_back({Instruction::Kind::mark, static_cast<std::uint32_t>(program_.marks.size() - 1)});
}

Program Recorder::take() { return std::move(program_); }

}  // namespace shardsim
