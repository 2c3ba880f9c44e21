// Cross entropy as eager PyTorch computes it: logits to fp32, log-softmax, negative log likelihood.
#include "model/graph_block.hpp"

namespace shardsim::graph {

Tensor cross_entropy(GraphBuilder& b, const Tensor& logits, const Tensor& labels) {
  const Tensor wide = b.cast(logits, DType::f32);
  const Tensor shifted = b.elementwise("shift_labels", {labels}, labels.numel, labels.type);
  b.last().scratch = labels.bytes();  // the padded copy
  const Tensor log_probabilities = b.saving_result("log_softmax", wide, DType::f32);
  b.value(log_probabilities).is_logits = true;
  const Tensor loss = b.make(1, DType::f32);
  Operator& nll = b.run("nll_loss", {log_probabilities, shifted}, {loss}, {log_probabilities, shifted});
  const double gathered = static_cast<double>(b.tokens() * (labels.numel / b.tokens() + 1) * size_of(DType::f32));
  nll.forward.push_back(memory_kernel(DType::f32, gathered));
  nll.backward.push_back(memory_kernel(DType::f32, static_cast<double>(log_probabilities.bytes())));  // zeros
  nll.backward.push_back(memory_kernel(DType::f32, gathered));
  b.drop(log_probabilities);
  b.drop(shifted);
  b.drop_unless(wide, logits);
  return loss;
}

}  // namespace shardsim::graph
