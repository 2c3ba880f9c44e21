// The plan: what each rank's host thread does, as plain data. Strategies write it, the engine runs it,
// and neither knows the other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/core/id.hpp"
#include "model/core/units.hpp"

namespace shardsim {

using StreamId = Id<struct StreamTag>;
using TaskId = Id<struct TaskTag>;
using TensorId = Id<struct TensorTag>;
using TransferId = Id<struct TransferTag>;
using LabelId = Id<struct LabelTag>;

/// Where a tensor lives. `device` is served by PyTorch's caching allocator, `pinned` by its caching host allocator
/// (powers of two), `pageable` by malloc, `storage` by a file.
enum class Pool : std::uint8_t { device, pinned, pageable, storage };
inline constexpr std::size_t pool_count = 4;

/// What a tensor is, in the report's words.
enum class Category : std::uint8_t {
  weights,         ///< what the model computes with, or its resident shard
  master_weights,  ///< the fp32 copy that the optimizer updates
  gradients,
  optimizer,    ///< moments and the like
  activations,  ///< saved for backward, or passing through
  logits,       ///< the head's output, its casts and their gradients
  gathered,     ///< full parameters gathered from shards, while they are used
  buffers,      ///< the model's own, communication buckets, all-gather and reduce-scatter buffers, staging
  workspace,    ///< cuBLAS, kernels' scratch, temporaries of the optimizer step
};
inline constexpr std::size_t category_count = 9;
std::string_view name_of(Category category);

/// Which part of the run a task belongs to. Forward, backward and optimizer make a step; loading comes before the first
/// one, saving after the last.
enum class Phase : std::uint8_t { load, forward, backward, optimizer, save };
std::string_view name_of(Phase phase);  ///< "optimizer step"

enum class TaskKind : std::uint8_t {
  compute,     ///< a kernel: `duration` on its stream
  copy,        ///< between device and host: a transfer
  collective,  ///< a transfer that starts when every participant has reached it
  cpu,         ///< work of the host's cores (CPU optimizer): a transfer over DRAM, with a rate limit, and/or a duration
  storage_io,  ///< between host memory and drives: a transfer
  rendezvous,  ///< waits for the other programs that take part in its transfer, which moves nothing
};

/// One piece of work on a stream. It starts when the host thread has issued it, the stream's previous task and all
/// `waits` are done; tasks of one stream run in the order of issue.
struct Task {
  TaskKind kind = TaskKind::compute;
  Phase phase = Phase::forward;
  std::uint16_t step = 0;  ///< training step it belongs to, from 0
  StreamId stream;
  LabelId label;  ///< "q_proj", "all-gather"
  std::int32_t layer = -1;
  Time issue;           ///< what the host thread spends on it before it is queued (Python and launch)
  Time duration;        ///< of compute; of a transfer: passes, with Transfer::latency, before its bytes flow
  TransferId transfer;  ///< copy, collective, cpu, storage_io
  std::uint32_t waits_begin = 0, waits_end = 0;  ///< range of Program::waits
};

/// An allocation: requested bytes, before any allocator's rounding.
struct Tensor {
  Pool pool = Pool::device;
  Category category = Category::activations;
  StreamId stream;  ///< device pool: the stream whose free list serves it
  std::int64_t bytes = 0;
  LabelId label;
  std::int32_t layer = -1;
  StreamId used_on = {};  ///< Tensor.record_stream(): once freed, its memory waits for what this stream has then
};

/// What the host thread does next.
struct Instruction {
  enum class Kind : std::uint8_t {
    launch,       ///< spend Task::issue, then queue the task `index`
    synchronize,  ///< wait until task `index` is done
    allocate,     ///< tensor `index` becomes live, at this instant of the host thread
    release,      ///< tensor `index` is freed
    mark,         ///< Program::marks[index] begins: names instants in the report
    empty_cache,  ///< torch.cuda.empty_cache(): the device's wholly free segments go back
  } kind = Kind::launch;
  std::uint32_t index = 0;
};

/// "step 1, backward, layer 31": where the host thread stands.
struct Mark {
  Phase phase = Phase::forward;
  std::uint16_t step = 0;
  std::int32_t layer = -1;  ///< -1: outside the decoder layers
  LabelId label;            ///< "lm_head", "loss", "optimizer"; unset inside a layer
};

/// The stages of a run, each with its own peaks: load, every training step, save.
inline std::size_t stage_count(std::uint16_t steps) { return steps + std::size_t{2}; }
inline std::size_t stage_of(const Mark& mark, std::uint16_t steps) {
  if (mark.phase == Phase::load) return 0;
  if (mark.phase == Phase::save) return steps + std::size_t{1};
  return mark.step + std::size_t{1};
}

/// The work of one class of equal ranks. All instructions of all simulated steps, in program order.
struct Program {
  std::vector<std::uint32_t> devices;  ///< members: indices into Topology::devices, ascending
  std::uint32_t host_class = 0;        ///< index into Plan::host_classes
  std::uint32_t ranks_per_host = 1;    ///< members of this program on each host of that class
  std::int64_t capacity_bytes = 0;     ///< of the device, as the framework sees it
  std::int64_t outside_bytes = 0;      ///< CUDA context and communicators: in use, but not the allocator's
  std::int64_t managed_bytes = 0;      ///< CUDA managed memory on the device, not the allocator's either
  bool expandable_segments = false;    ///< of PyTorch's allocator
  double collective_slowdown = 0;      ///< share of its speed that a kernel loses while a collective runs beside it
  std::vector<std::string> streams;    ///< names; [0] is the compute stream
  std::vector<Task> tasks;
  std::vector<TaskId> waits;  ///< ranges of it belong to tasks
  std::vector<Tensor> tensors;
  std::vector<Instruction> instructions;
  std::vector<Mark> marks;
  double storage_read = 0, storage_written = 0;  ///< bytes between drives and host memory in the last step
  double saved = 0;                              ///< bytes of checkpoint that this rank writes

  /// What nvidia-smi says of the device when the allocator holds `reserved` bytes.
  std::int64_t used_bytes(std::int64_t reserved) const { return reserved + outside_bytes + managed_bytes; }
};

/// Bytes over links. The rate is the same for all its uses: max-min fair over all running transfers, where a link's
/// capacity bounds the sum of rate * share, and never above `limit`.
struct Transfer {
  double bytes = 0;                            ///< amount that `rate` counts down
  Time latency;                                ///< passes before the bytes flow
  double limit = 0;                            ///< bytes a second; 0 = no limit of its own
  double weight = 1;                           ///< rates grow in proportion to it
  std::uint32_t uses_begin = 0, uses_end = 0;  ///< range of Plan::uses
  std::uint16_t participants = 1;              ///< tasks (one a program) that must have reached it
};

/// The share of one link of a link class that a unit of the transfer takes.
struct TransferUse {
  std::uint32_t link = 0;  ///< index into Plan::links
  double share = 1;
};

/// A class of equal links, each carrying the same.
struct PlanLink {
  std::string id;  ///< of its first member
  std::uint32_t count = 1;
  std::uint8_t kind = 0;  ///< LinkKind
  double bandwidth = 0;   ///< bytes a second, datasheet
  double capacity = 0;    ///< bytes a second that payload can reach: what transfers share
};

/// Hosts that behave alike.
struct HostClass {
  std::string id;
  std::uint32_t count = 1;
  std::int64_t memory_bytes = 0;
  std::int64_t storage_bytes = 0;
};

struct Plan {
  std::vector<Program> programs;
  std::vector<Transfer> transfers;
  std::vector<TransferUse> uses;
  std::vector<PlanLink> links;
  std::vector<HostClass> host_classes;
  std::vector<std::string> labels;       ///< by LabelId
  std::uint16_t steps = 1;               ///< simulated training steps; the last one is the steady step
  std::vector<std::string> assumptions;  ///< sentences for the report
};

}  // namespace shardsim
