// The optimizer on the host's cores: DeepSpeedCPUAdam and DeepSpeedCPULion, or PyTorch's CPU optimizers.
#pragma once

#include <cstdint>
#include <vector>

#include "model/optimizer.hpp"
#include "sim/plan/recorder.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

/// Moments of a tensor's own size that the optimizer in host memory keeps.
std::int64_t host_moments(OptimizerKind kind);

/// Updates tensors in host memory in the host thread, which waits. States are pageable and appear in the first step
/// that touches their tensor; Lion's (deepspeed/ops/lion/cpu_lion.py) has the tensor's type.
class CpuOptimizer {
 public:
  /// On as many of the host's cores as the request's `cpu_threads` says, or as there are.
  CpuOptimizer(Recorder& recorder, const Request& request, std::vector<OptimizedTensor> tensors);
  /// The update of all tensors in one piece of work. `extra_bytes` of DRAM traffic a parameter come on top of the
  /// kernel's own (unscaling, casting).
  void step(double extra_bytes);
  /// The update of one of them alone.
  void step_tensor(std::size_t index, double extra_bytes);
  /// As step_tensor, of a tensor whose states are swapped in from elsewhere.
  void step_swapped_tensor(std::size_t index, double extra_bytes);

 private:
  void create_states(std::size_t index);
  std::int64_t bytes_of_states(std::size_t index) const;
  void work(std::int64_t elements, double bytes);

  Recorder& recorder_;
  const Request& request_;
  OptimizerKind kind_;
  std::vector<OptimizedTensor> tensors_;
  std::vector<bool> has_states_;
};

}  // namespace shardsim
