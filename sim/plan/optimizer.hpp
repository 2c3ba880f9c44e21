// The optimizer on the device: the states that it creates, and the kernels and temporaries of its step.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/optimizer.hpp"
#include "sim/plan/recorder.hpp"
#include "sim/plan/strategy.hpp"

namespace shardsim {

struct OptimizerSetting {
  OptimizerKind kind = OptimizerKind::adamw;
  OptimizerImpl implementation = OptimizerImpl::fused;  ///< of PyTorch's own optimizers
  PagedStates paged = PagedStates::on_device;
};

/// Updates a list of tensors. States appear in the first step that touches their tensor, as in every runtime here.
class Optimizer {
 public:
  Optimizer(Recorder& recorder, const OptimizerSetting& setting, std::vector<OptimizedTensor> tensors);
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// The update of all tensors.
  void step() { update(0, tensors_.size()); }
  /// The update of one of them alone, for runtimes that go group by group.
  void step_tensor(std::size_t index) { update(index, index + 1); }

 protected:
  /// The tensors [begin, end), in one call of the optimizer's step().
  virtual void update(std::size_t begin, std::size_t end) = 0;
  /// True when they were made just now.
  bool create_states(std::size_t index);
  /// Of one tensor's states, in whichever memory they are.
  std::int64_t bytes_of_states(std::size_t index, bool only_paged = false) const;

  Recorder& recorder_;
  OptimizerSetting setting_;
  std::vector<OptimizedTensor> tensors_;

 private:
  void allocate(const StateTensor& state);

  std::vector<bool> has_states_;
  bool has_shared_states_ = false;
};

/// The optimizer that the request names, over `tensors` in the device's memory.
std::unique_ptr<Optimizer> make_optimizer(const StrategyContext& context, std::vector<OptimizedTensor> tensors);

/// One file each in optimizers/.
std::unique_ptr<Optimizer> make_torch_optimizer(Recorder&, const OptimizerSetting&, std::vector<OptimizedTensor>);
std::unique_ptr<Optimizer> make_bitsandbytes(Recorder&, const OptimizerSetting&, std::vector<OptimizedTensor>);
std::unique_ptr<Optimizer> make_adafactor(Recorder&, const OptimizerSetting&, std::vector<OptimizedTensor>);
std::unique_ptr<Optimizer> make_muon(Recorder&, const OptimizerSetting&, std::vector<OptimizedTensor>);

/// Norm of `bytes` of gradients and the in-place scaling that clips them to it: torch.nn.utils.clip_grad_norm_, which
/// needs one scalar all-reduce over shards and never waits on the host.
void clip_gradients(Recorder& recorder, double bytes, bool sharded);

}  // namespace shardsim
