// Writes one rank's program in the vocabulary of the frameworks: streams that wait for each other, tensors that are
// allocated and freed by the host thread, kernels, copies and collectives that it launches.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/operators.hpp"
#include "sim/cost/kernel_time.hpp"
#include "sim/plan/cluster.hpp"
#include "sim/plan/plan.hpp"
#include "sim/plan/provenance.hpp"

namespace shardsim {

class Recorder {
 public:
  /// Records the program of the class's first member. `labels` is shared by all programs of the plan.
  Recorder(Cluster& cluster, DeviceClassId device_class, Plan& plan);

  Cluster& cluster() { return cluster_; }
  const Device& device() const { return device_; }
  /// Ranks that states are sharded over, and this one's place among them: all data-parallel ranks, but a node's under
  /// hybrid sharding.
  std::int64_t world() const { return cluster_.size(Group::shard); }
  std::int64_t rank() const { return cluster_.rank(device_class_); }
  /// True for the first of all ranks, whatever the groups.
  bool is_rank_0() const { return program_.devices.front() == 0; }
  /// Ranks that hold the same shard, and reduce its gradients once more.
  std::int64_t replicas() const { return cluster_.size(Group::replicate); }
  std::int64_t ranks_on_host() const { return cluster_.ranks_on_host(); }

  /// The stream of that name, made on first use. Stream 0 is "compute".
  StreamId stream(std::string_view name);
  static constexpr StreamId compute_stream() { return StreamId(0); }
  LabelId label(std::string_view text);

  TensorId allocate(Category category, std::int64_t bytes, std::string_view label, StreamId stream = compute_stream());
  /// Of one of the graph's sizes, on the compute stream.
  TensorId allocate_from_graph(Category category, std::int64_t bytes, std::string_view label, AmountId amount);
  TensorId allocate_host(Pool pool, Category category, std::int64_t bytes, std::string_view label);
  /// CUDA managed memory that lies on the device, for good; PyTorch's allocator does not know of it.
  void allocate_managed(std::int64_t bytes) { program_.managed_bytes += bytes; }
  void release(TensorId tensor);
  /// Frees and forgets; an unset id is left alone.
  void reset(TensorId& tensor);
  /// torch.cuda.empty_cache()
  void empty_cache() { program_.instructions.push_back({Instruction::Kind::empty_cache, 0}); }
  /// What is allocated now of a category, oldest first.
  std::vector<TensorId> live(Category category) const;
  const Tensor& tensor(TensorId id) const { return program_.tensors[id.index()]; }
  std::int64_t bytes_of(TensorId tensor) const { return program_.tensors[tensor.index()].bytes; }

  /// Python and library time that the host thread spends before its next launch or synchronisation.
  void spend(Time host) { pending_ += host; }
  TaskId kernel(const Kernel& kernel, std::string_view label, StreamId stream = compute_stream());
  /// One of the graph's kernels.
  void kernel_from_graph(const Kernel& kernel, std::string_view label, AmountId amount);
  /// Sums one of the graph's gradients of `bytes` into another.
  void sum_from_graph(std::int64_t bytes, std::string_view label, AmountId amount);
  /// A kernel that reads and writes `bytes` of device memory.
  TaskId elementwise(double bytes, std::string_view label, StreamId stream = compute_stream());
  TaskId copy(Direction direction, double bytes, bool pinned, std::string_view label, StreamId stream);
  /// Over this rank's group of a communicator; collectives of one communicator run one after the other whatever their
  /// streams. One rank: no task, as NCCL does nothing.
  void collective(CollectiveKind kind, double total_bytes, std::string_view label, StreamId stream,
                  Group group = Group::shard);
  /// While muted, nothing is recorded: what another program of the same host thread does. Tensors allocated then are
  /// not this program's, and their release is not either.
  void mute(bool muted) { muted_ = muted; }
  /// This program's process has no communicator.
  void forget_communicator();
  /// The `sequence`-th meeting of its kind with the other program that takes part in it.
  void rendezvous(Occasion kind, std::size_t sequence, StreamId stream);
  TaskId peer_copy(DeviceId from, double bytes, std::string_view label, StreamId stream);
  /// All ranks wait here for each other, their devices idle.
  void barrier();
  bool has_storage() const { return cluster_.has_storage(device_class_); }
  /// Between host memory and the host's drives, on a stream of its own or another's.
  TaskId storage(StorageAccess access, double bytes, std::string_view label, StreamId stream);
  /// Counts bytes of a checkpoint that this rank writes.
  void count_saved(double bytes) { program_.saved += bytes; }
  /// Work of the host's cores for this rank, in the host thread: the thread waits for it. `parameters_per_second`
  /// bounds it where cores do, `dram_bytes` where memory does.
  void host_work(double dram_bytes, double limit_bytes_per_second, std::string_view label);

  /// The last task queued on a stream: what cudaEventRecord would capture. Unset when there is none.
  TaskId record(StreamId stream) const { return last_[stream.index()]; }
  /// The last collective of the shard group; unset when there was none.
  TaskId last_collective() const { return communicators_.front().last; }
  /// `stream`'s next task waits for `event` too.
  void wait(StreamId stream, TaskId event);
  void wait_stream(StreamId waiter, StreamId awaited) { wait(waiter, record(awaited)); }
  /// The host thread waits.
  void synchronize(TaskId event);
  void synchronize_stream(StreamId stream) { synchronize(record(stream)); }
  void synchronize_device();

  void begin_step(std::uint16_t step);
  std::uint16_t step() const { return step_; }
  /// From here on the host thread stands in this phase, layer (-1: none) and place.
  void mark(Phase phase, std::int32_t layer, std::string_view place);
  Phase phase() const { return phase_; }
  /// From here to end_recomputation(), kernels run a second time.
  void begin_recomputation() { provenance_.recomputed.push_back({provenance_.executed.size(), 0}); }
  void end_recomputation() { provenance_.recomputed.back().end = provenance_.executed.size(); }

  /// Hands the finished program over.
  Program take();
  Provenance take_provenance() { return std::move(provenance_); }
  double executed_flops() const { return flops_; }

 private:
  TaskId launch(Task task);
  TaskId launch_kernel(const Kernel& kernel, std::string_view label, StreamId stream);
  TensorId add_tensor(const Tensor& tensor);

  Cluster& cluster_;
  DeviceClassId device_class_;
  Plan& plan_;
  const Device& device_;
  KernelTimes times_;
  Program program_;
  std::unordered_map<std::string, LabelId> labels_;
  std::vector<TaskId> last_;                  ///< by stream
  std::vector<std::vector<TaskId>> awaited_;  ///< by stream, for its next task
  struct Communicated {
    std::size_t collectives = 0;
    TaskId last;
  };
  std::array<Communicated, 2> communicators_;  ///< by Group
  Time pending_;
  Phase phase_ = Phase::load;
  std::uint16_t step_ = 0;
  std::int32_t layer_ = -1;
  double flops_ = 0;
  Provenance provenance_;
  bool muted_ = false;
  std::vector<bool> foreign_;  ///< by tensor: allocated while muted
};

}  // namespace shardsim
