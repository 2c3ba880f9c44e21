// torch.optim.AdamW and SGD (torch/optim/adam.py, adamw.py, sgd.py), in their three implementations.
//  fused:    one multi-tensor kernel, no temporaries; reads weights, gradients and states, writes weights and states.
//  foreach:  one pass over all tensors for each operation; AdamW holds one list of square roots of all tensors at once.
//  for_loop: the same operations tensor by tensor; AdamW's denominator of one tensor stays until the next one's exists.
#include <utility>

#include "sim/plan/optimizer.hpp"

namespace shardsim {
namespace {

/// What the operations of one update read and write, in sizes of the tensor.
struct Operations {
  double passes = 0;
  std::size_t count = 0;
  bool square_root = false;  ///< one of them makes a new tensor
};

Operations operations_of(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::sgd:
      return {3, 1, false};  // add 3
    case OptimizerKind::sgd_momentum:
      return {8, 3, false};  // mul 2, add 3, add 3
    default:
      return {21, 8, true};  // weight decay 2, lerp 3, mul 2, addcmul 4, sqrt 2, div 2, add 2, addcdiv 4
  }
}

class TorchOptimizer : public Optimizer {
 public:
  using Optimizer::Optimizer;

 private:
  void update(std::size_t begin, std::size_t end) override {
    for (std::size_t i = begin; i < end; ++i) create_states(i);
    if (setting_.implementation == OptimizerImpl::fused) {
      double bytes = 0;
      for (std::size_t i = begin; i < end; ++i) {
        bytes += 3 * static_cast<double>(tensors_[i].bytes()) + 2 * static_cast<double>(bytes_of_states(i));
      }
      if (end > begin) recorder_.elementwise(bytes, label());
    } else if (setting_.implementation == OptimizerImpl::foreach) {
      if (end > begin) operate(begin, end);
    } else {
      for (std::size_t i = begin; i < end; ++i) update_one(tensors_[i].bytes());
      recorder_.reset(denominator_);
    }
  }

  // AdamW's root and its quotient; the Python name keeps the last tensor's quotient until it holds the next.
  void update_one(std::int64_t bytes) {
    const Operations operations = operations_of(setting_.kind);
    if (operations.square_root) {
      const TensorId root = recorder_.allocate(Category::workspace, bytes, "adamw root");
      const TensorId quotient = recorder_.allocate(Category::workspace, bytes, "adamw denominator");
      recorder_.release(root);
      recorder_.reset(denominator_);
      denominator_ = quotient;
    }
    launch(operations, bytes, operations.count);
  }

  // A multi-tensor launch takes about a hundred tensors. The list of roots is a tensor for each.
  void operate(std::size_t begin, std::size_t end) {
    const Operations operations = operations_of(setting_.kind);
    std::int64_t bytes = 0;
    std::vector<TensorId> roots;
    for (std::size_t i = begin; i < end; ++i) {
      bytes += tensors_[i].bytes();
      if (!operations.square_root) continue;
      roots.push_back(recorder_.allocate(Category::workspace, tensors_[i].bytes(), "foreach temporaries"));
    }
    launch(operations, bytes, operations.count * (1 + (end - begin) / 100));
    for (const TensorId root : roots) recorder_.release(root);
  }

  void launch(const Operations& operations, std::int64_t bytes, std::size_t kernels) {
    for (std::size_t i = 0; i < kernels; ++i) {
      recorder_.elementwise(operations.passes * static_cast<double>(bytes) / static_cast<double>(kernels), label());
    }
  }

  const char* label() const {
    return setting_.kind == OptimizerKind::sgd || setting_.kind == OptimizerKind::sgd_momentum ? "sgd" : "adamw";
  }

  TensorId denominator_;
};

}  // namespace

std::unique_ptr<Optimizer> make_torch_optimizer(Recorder& recorder, const OptimizerSetting& setting,
                                                std::vector<OptimizedTensor> tensors) {
  return std::make_unique<TorchOptimizer>(recorder, setting, std::move(tensors));
}

}  // namespace shardsim
