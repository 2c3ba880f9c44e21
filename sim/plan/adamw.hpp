// AdamW: the state it keeps and what its step allocates and moves.
#pragma once

#include <cstdint>
#include <vector>

#include "model/precision.hpp"
#include "sim/plan/recorder.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

/// torch.optim.AdamW on the device, over tensors of given element counts. The two moments take the parameter's type and
/// appear in the first step (torch/optim/adamw.py, `_init_group`).
///  fused:    one multi-tensor kernel, no temporaries; reads p, g, m, v and writes p, m, v once.
///  foreach:  one list of square roots for all tensors at once (torch/optim/adam.py, `_multi_tensor_adam`), about
///  eleven
///            reads and writes of the parameters' size.
///  for_loop: the same passes tensor by tensor (`_single_tensor_adam`): at most the last tensor's denominator beside
///            this one's square root and denominator.
class AdamW {
 public:
  AdamW(Recorder& recorder, OptimizerImpl implementation, DType type, std::vector<std::int64_t> elements);
  /// The update of all tensors; allocates the moments if this is the first.
  void step();
  /// The update of one of them alone, for runtimes that go group by group.
  void step_tensor(std::size_t index);

 private:
  void create_moments(std::size_t index);
  void update(std::int64_t elements, std::size_t tensors);
  void update_one(std::int64_t elements, TensorId& denominator);

  Recorder& recorder_;
  OptimizerImpl implementation_;
  DType type_;
  std::vector<std::int64_t> elements_;
  std::vector<bool> has_moments_;
};

/// Norm of `bytes` of gradients and the in-place scaling that clips them to it: torch.nn.utils.clip_grad_norm_, which
/// needs one scalar all-reduce over shards and never waits on the host.
void clip_gradients(Recorder& recorder, double bytes, bool sharded);

/// CPU Adam over `elements` parameters of this rank in fp32, in the host thread: `extra_bytes` of DRAM traffic a
/// parameter come on top of the kernel's own (unscaling, casting).
void cpu_adam(Recorder& recorder, std::int64_t elements, double extra_bytes);

}  // namespace shardsim
