// Adafactor as transformers has it (transformers 5.23, optimization.py, with relative_step and scale_parameter off as
// the Trainer sets them): a Python loop over the tensors, everything in fp32. Temporaries live as long as the loop's
// names hold them: the update of one tensor is let go only when the next tensor's is bound.
#include <utility>

#include "sim/plan/optimizer.hpp"

namespace shardsim {
namespace {

class Adafactor : public Optimizer {
 public:
  using Optimizer::Optimizer;

 private:
  void update(std::size_t begin, std::size_t end) override {
    for (std::size_t i = begin; i < end; ++i) update_tensor(i);
    recorder_.reset(update_);
    recorder_.reset(gradient_);
    recorder_.reset(weight_);
  }

  void update_tensor(std::size_t index) {
    const OptimizedTensor& tensor = tensors_[index];
    const bool narrow = size_of(tensor.type) < 4;
    const std::int64_t bytes = 4 * tensor.numel();
    const bool factored = tensor.shape.size() > 1;
    const auto pass = [&](double passes) { recorder_.elementwise(passes * static_cast<double>(bytes), "adafactor"); };

    bind(gradient_, narrow ? bytes : 0, 1.5);
    create_states(index);
    bind(weight_, narrow ? bytes : 0, 1.5);
    pass(1);  // RMS of the weights
    TensorId square = recorder_.allocate(Category::workspace, bytes, "adafactor update");
    pass(2);
    bind(update_, bytes, 2);  // + eps
    recorder_.reset(square);
    if (factored) {
      pass(1);                  // row means
      pass(1);                  // column means
      bind(update_, bytes, 1);  // outer product of the factors
    } else {
      pass(2);                  // decay the second moment
      pass(3);                  // add to it
      bind(update_, bytes, 2);  // rsqrt
    }
    pass(3);  // times the gradient
    pass(1);  // RMS of the update
    pass(2);  // clip
    pass(2);  // learning rate
    TensorId negative = recorder_.allocate(Category::workspace, bytes, "adafactor update");
    pass(2);
    pass(3);  // add to the weights
    recorder_.reset(negative);
    if (narrow) pass(1.5);  // copy back
  }

  // `name = expression`: the new value exists before the name lets go of the old one.
  void bind(TensorId& name, std::int64_t bytes, double passes) {
    TensorId value;
    if (bytes > 0) {
      value = recorder_.allocate(Category::workspace, bytes, "adafactor update");
      recorder_.elementwise(passes * static_cast<double>(bytes), "adafactor");
    }
    recorder_.reset(name);
    name = value;
  }

  TensorId gradient_, weight_;  ///< fp32 copies, of 16-bit tensors
  TensorId update_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adafactor(Recorder& recorder, const OptimizerSetting& setting,
                                          std::vector<OptimizedTensor> tensors) {
  return std::make_unique<Adafactor>(recorder, setting, std::move(tensors));
}

}  // namespace shardsim
