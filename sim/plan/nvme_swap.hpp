// ZeRO-Infinity: partitions that live on drives and pass through page-locked swap buffers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "model/architecture.hpp"
#include "sim/plan/deepspeed.hpp"
#include "sim/plan/recorder.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

/// What is smaller stays where it is: max(MIN_AIO_BYTES, aio.block_size), both 1 MiB
/// (deepspeed/runtime/swap_tensor/utils.py, constants.py).
inline constexpr std::int64_t least_swapped_bytes = std::int64_t{1} << 20;

/// Optimizer states on drives (deepspeed/runtime/swap_tensor/partitioned_optimizer_swapper.py and
/// pipelined_optimizer_swapper.py), sub-group by sub-group: master weights, `moments` of their size and the gradients
/// of a partition. `optimizer_buffer_count` buffers of the largest sub-group in fp32 are locked in host memory without
/// CUDA's knowledge, so copies between them and the device run at pageable speed.
class OptimizerSwap {
 public:
  OptimizerSwap(Recorder& recorder, const ZeroOptions& options, const ZeroSizes& sizes, std::int64_t moments,
                std::vector<std::int64_t> sub_groups);

  bool holds(std::size_t sub_group) const { return elements_[sub_group] * master_bytes_ >= least_swapped_bytes; }
  /// States and buffers come into being.
  void initialise();
  /// One parameter's fp32 gradient leaves the device; small ones stay there until their sub-group's step.
  void write_gradient(std::int64_t elements, TensorId on_device, StreamId stream);
  /// The host waits for all gradients to be on the drives.
  void begin_step();
  /// States and gradients come in: the host waits for them; with pipeline_read the next sub-group's are on their way.
  void swap_in(std::size_t sub_group);
  /// States go out: the host waits, or with pipeline_write waits for those before them.
  void swap_out(std::size_t sub_group);
  void end_step();

 private:
  TaskId read(std::size_t sub_group);

  Recorder& recorder_;
  const ZeroOptions& options_;
  std::int64_t master_bytes_;
  std::int64_t moments_;
  std::vector<std::int64_t> elements_;  ///< of this rank's partition, by sub-group
  StreamId read_, write_;
  std::vector<TaskId> arriving_;  ///< by sub-group
  TaskId leaving_;
  std::vector<TensorId> kept_gradients_;  ///< too small to be swapped
};

/// Parameter partitions on drives (partitioned_param_swapper.py). Trained sub-groups stay in pinned host memory while
/// `max_in_cpu` elements last; of the others each partition is read into one of `parameter_buffer_count` locked buffers
/// before it is gathered, and holds it until the parameter is released.
class ParameterSwap {
 public:
  ParameterSwap(Recorder& recorder, const ZeroOptions& options, const ZeroSizes& sizes,
                const Architecture& architecture, const std::vector<std::vector<ParameterId>>& sub_groups);

  void initialise(Pool pinned);
  bool on_drives(ParameterId p) const { return on_drives_[p.index()]; }
  /// True where it lies on the drives and nothing has asked for it.
  bool is_away(ParameterId p) const { return on_drives(p) && !arriving_[p.index()].valid(); }
  std::size_t free_buffers() const;
  void read_ahead(std::span<const ParameterId> parameters);
  /// The host waits for it.
  void require(ParameterId p);
  /// Its buffer is free again.
  void release(ParameterId p) { arriving_[p.index()] = TaskId{}; }
  /// The updated sub-group goes out, and the host waits.
  void write(std::size_t sub_group);

 private:
  std::int64_t partition_bytes(ParameterId p) const;

  Recorder& recorder_;
  const ZeroOptions& options_;
  std::int64_t weight_bytes_;
  const Architecture& architecture_;
  std::vector<std::vector<ParameterId>> sub_groups_;
  std::int64_t pinned_elements_ = 0;        ///< of the flat buffer for what stays in host memory
  std::int64_t small_bytes_ = 0;            ///< of partitions that are too small to be swapped
  std::vector<std::int64_t> small_frozen_;  ///< bytes of frozen partitions that are, each pinned by itself
  StreamId read_, write_;
  std::vector<bool> on_drives_;
  std::vector<TaskId> arriving_;  ///< read, by parameter; set while it holds a buffer
};

/// Settings that DeepSpeed refuses, or cannot work with: throws InputError. A default buffer that is too small for the
/// largest partition is enlarged, with a sentence.
void check_nvme(Request& request, const Topology& topology, const Architecture& architecture,
                std::vector<std::string>& assumptions);

}  // namespace shardsim
