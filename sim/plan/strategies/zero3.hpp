// ZeRO stage 3 (deepspeed/runtime/zero/stage3.py, partition_parameters.py, parameter_offload.py; DeepSpeed 0.19.8)
// under their options, with contiguous_gradients on.
//
// Every module's hooks fetch and release through the coordinator, gathers run on the all-gather stream; gradients are
// copied into one bucket and reduce-scattered on the reduction stream; each micro-step ends with the host waiting for
// it. The step releases all parameters, takes norms, then goes sub-group by sub-group. With offload the optimizer's
// states (and the parameters' partitions) live in host memory, or pass through it from and to drives.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "sim/plan/cpu_optimizer.hpp"
#include "sim/plan/deepspeed.hpp"
#include "sim/plan/nvme_swap.hpp"
#include "sim/plan/optimizer.hpp"
#include "sim/plan/parameter_coordinator.hpp"
#include "sim/plan/strategy.hpp"

namespace shardsim {

class Zero3 : public Strategy {
 public:
  explicit Zero3(const StrategyContext& context);

  void initialise() override;
  void begin_forward(std::int64_t micro_step, bool boundary) override;
  void pre_forward(ModuleId module) override { fetch(module); }
  void post_forward(ModuleId module) override { release(module); }
  void pre_backward(ModuleId module) override { fetch(module); }
  void post_backward(ModuleId module) override;
  void gradient_ready(ParameterId parameter, TensorId gradient) override;
  void end_backward() override;
  void optimizer_step() override;

 private:
  struct SubGroup {
    std::vector<ParameterId> parameters;
    std::int64_t elements = 0;  ///< of this rank's partitions
  };
  /// Parameters gathered by one collective into one flat buffer.
  struct GatherBucket {
    std::vector<ParameterId> parameters;
    TensorId flat;
    TaskId done;
    std::size_t waiting = 0;
    bool rebuilt = false;
  };
  struct ParameterState {
    TensorId weight;    ///< gathered
    TensorId gradient;  ///< of a leaf module, until it is reduced
    std::size_t bucket = 0;
  };
  struct Pending {
    ParameterId parameter;
    TensorId gradient;  ///< set where it did not fit into the bucket and keeps its own storage
  };

  std::int64_t partition_of(ParameterId p) const;
  std::int64_t padded_bytes(ParameterId p) const { return partition_of(p) * recorder_.world() * sizes_.weight; }
  Pool pinned_pool() const { return pinned_ ? Pool::pinned : Pool::pageable; }
  bool gathers() const { return recorder_.world() > 1 || request_.offload.parameters; }
  /// True where a sub-group is updated in host memory: all that are offloaded, but for the share that Twin-Flow
  /// (`ratio`) leaves on the device.
  bool is_on_host(std::size_t sub_group) const { return request_.offload.optimizer && sub_group >= on_device_; }
  /// True where a sub-group's optimizer states lie on drives.
  bool is_swapped(std::size_t sub_group) const { return optimizer_swap_ && optimizer_swap_->holds(sub_group); }
  bool is_on_drives(ParameterId p) const { return parameter_swap_ && parameter_swap_->on_drives(p); }

  void make_sub_groups();
  void make_optimizers(const StrategyContext& context);
  void make_swaps();
  void place_frozen();
  void place(bool on_host, Pool pool, Category category, std::int64_t bytes, const char* label);

  // Parameters, from partition to module and back: zero3_gather.cpp.
  void fetch(ModuleId module);
  void release(ModuleId module);
  void gather(ParameterCoordinator::Parameters parameters);
  void upload_partition(ParameterId p);
  void await(ParameterId p);
  void partition(ParameterId p);
  void gather_persistent();

  // Gradients, from autograd to their partitions: zero3_reduce.cpp.
  void add_to_bucket(ParameterId parameter, TensorId gradient);
  void reduce_leaf(ModuleId module);
  void flush();
  TensorId reduce_bucket();
  void partition_gradient(ParameterId p);

  // The step.
  void norms();
  void step_sub_group(std::size_t index);
  void step_on_host(std::size_t index);
  void step_beside_host(std::size_t index);
  void upload_weights(const SubGroup& group);

  const Request& request_;
  const Architecture& architecture_;
  Recorder& recorder_;
  ZeroSizes sizes_;
  bool pinned_;
  StreamId all_gather_, reduce_;
  std::vector<SubGroup> sub_groups_;
  std::vector<ParameterState> states_;
  std::vector<GatherBucket> buckets_;
  ParameterCoordinator coordinator_;
  std::unique_ptr<Optimizer> optimizer_;       ///< on the device
  std::optional<CpuOptimizer> cpu_optimizer_;  ///< in host memory
  std::vector<Pending> bucket_;                ///< gradients waiting to be reduced
  std::int64_t bucket_elements_ = 0;
  std::deque<TaskId> reduce_events_, fetch_events_;
  std::optional<OptimizerSwap> optimizer_swap_;
  std::optional<ParameterSwap> parameter_swap_;
  std::vector<std::size_t> sub_group_of_;                  ///< by parameter, of those that are trained
  std::size_t on_device_ = 0;                              ///< sub-groups that stay there beside offloaded ones
  std::vector<std::pair<ParameterId, TensorId>> leaving_;  ///< fp32 gradients on their way to the drives
  std::int64_t micro_step_ = 0;
  bool boundary_ = true;
};

}  // namespace shardsim
