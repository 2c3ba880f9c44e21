// Cross entropy as eager PyTorch computes it (logits to fp32, log-softmax, negative log likelihood), and the two losses
// that never hold all logits: they apply the head themselves and have its gradients when forward is over.
#include <algorithm>
#include <bit>

#include "model/core/units.hpp"
#include "model/graph_block.hpp"

namespace shardsim::graph {

namespace {

double real(std::int64_t count) { return static_cast<double>(count); }

/// A head applied by hand: a product of rows of the hidden states with its weight.
struct Head {
  std::int64_t width, vocab;
  DType type;         ///< of the product
  bool casts_weight;  ///< autocast lowers the weight
  std::vector<ParameterId> trained;
  std::int64_t elements() const { return width * vocab; }
};

Head head_of(GraphBuilder& b, ModuleId id) {
  const Module& module = b.architecture().module(b.architecture().running(id));
  Head head{module.in_features, module.out_features, b.compute(), false, module.parameters};
  std::erase_if(head.trained, [&](ParameterId p) { return !b.architecture().parameter(p).trainable; });
  head.casts_weight = b.autocasts() && b.type_of(module.parameters.front()) != head.type;
  return head;
}

/// Values of the gradients of what is trained of the head, in the parameters' type.
std::vector<Tensor> parameter_gradients(GraphBuilder& b, const Head& head) {
  std::vector<Tensor> gradients;
  for (const ParameterId id : head.trained) {
    gradients.push_back(b.make(b.architecture().parameter(id).numel, b.type_of(id), false));
    b.value(gradients.back()).is_gradient = true;
  }
  return gradients;
}

/// `op` saves the gradients and hands them over in backward.
void hand_over(Operator& op, const Head& head, const Tensor& of_input, const std::vector<Tensor>& of_parameters) {
  op.parameters = head.trained;
  op.gradients.push_back(of_input.id);
  for (const Tensor& gradient : of_parameters) op.gradients.push_back(gradient.id);
  op.saved.insert(op.saved.end(), op.gradients.begin(), op.gradients.end());
}

/// What the chunked loss holds from chunk to chunk.
struct Chunks {
  Tensor rows;         ///< of all chunks, without gradient
  Tensor accumulator;  ///< gradient of the head's input, fp32
  std::vector<Tensor> weight_gradients;
  std::optional<Tensor> logits;  ///< the last chunk's, named until the next ones are there
};

/// One kernel over inputs and output; nothing that autograd sees.
Tensor detached(GraphBuilder& b, std::string_view name, Tensors inputs, std::int64_t numel, DType type, bool logits) {
  const Tensor result = b.make(numel, type, false);
  b.value(result).is_logits = logits;
  std::int64_t bytes = result.bytes();
  for (const Tensor& input : inputs) bytes += input.bytes();
  b.run(name, inputs, {result}).forward.push_back(memory_kernel(type, real(bytes)));
  return result;
}

/// cross_entropy() of one chunk and its backward: the gradient of the logits.
Tensor chunk_loss(GraphBuilder& b, const Tensor& logits) {
  const std::int64_t numel = logits.numel;
  const Tensor wide = logits.type == DType::f32 ? logits : detached(b, "cast", {logits}, numel, DType::f32, true);
  const Tensor log_probabilities = detached(b, "log_softmax", {wide}, numel, DType::f32, true);
  b.drop_unless(wide, logits);
  const Tensor nll = detached(b, "nll_loss_backward", {}, numel, DType::f32, true);
  const Tensor wide_gradient = detached(b, "log_softmax_backward", {nll, log_probabilities}, numel, DType::f32, true);
  b.drop(nll);
  b.drop(log_probabilities);
  if (logits.type == DType::f32) return wide_gradient;
  const Tensor gradient = detached(b, "cast", {wide_gradient}, numel, logits.type, true);
  b.drop(wide_gradient);
  return gradient;
}

/// The gradients of what is trained of the head, summed over the chunks.
void add_weight_gradients(GraphBuilder& b, const Head& head, const Tensor& gradient, std::int64_t rows,
                          Chunks& chunks) {
  const std::vector<Tensor> fresh = parameter_gradients(b, head);
  Operator& weight = b.run("lm_head_weight_backward", {gradient, chunks.rows}, {});
  for (const Tensor& tensor : fresh) weight.outputs.push_back(tensor.id);
  weight.forward.push_back(matmul_kernel(head.type, head.vocab, head.width, rows));
  b.drop(gradient);
  if (chunks.weight_gradients.empty()) {
    chunks.weight_gradients = fresh;
    return;
  }
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    Operator& add = b.run("grad add", {chunks.weight_gradients[i], fresh[i]}, {});
    add.forward.push_back(memory_kernel(fresh[i].type, real(3 * fresh[i].bytes())));
    b.drop(fresh[i]);
  }
}

void run_chunk(GraphBuilder& b, const Head& head, Chunks& chunks) {
  const std::int64_t rows = b.tokens() / loss_chunks;
  // Autocast caches copies of trained weights only; the chunk's product keeps that of a frozen one until its backward.
  std::optional<Tensor> weight;
  if (head.casts_weight && head.trained.empty()) {
    weight = detached(b, "cast_weight", {}, head.elements(), head.type, false);
  }
  const Tensor logits = b.make(rows * head.vocab, head.type, false);
  b.value(logits).is_logits = true;
  b.run("lm_head", {chunks.rows}, {logits}).forward.push_back(matmul_kernel(head.type, rows, head.vocab, head.width));
  if (chunks.logits) b.drop(*chunks.logits);
  chunks.logits = logits;
  const Tensor gradient = chunk_loss(b, logits);

  const Tensor rows_gradient = b.make(rows * head.width, chunks.rows.type, false);
  b.run("lm_head_backward", {gradient}, {rows_gradient})
      .forward.push_back(matmul_kernel(head.type, rows, head.width, head.vocab));
  if (weight) b.drop(*weight);
  if (head.trained.empty()) {
    b.drop(gradient);
  } else {
    add_weight_gradients(b, head, gradient, rows, chunks);
  }
  Operator& collect = b.run("collect_grad", {rows_gradient, chunks.accumulator}, {});
  const std::int64_t wide_bytes = rows_gradient.numel * size_of(DType::f32);
  if (rows_gradient.type != DType::f32) {
    collect.scratch = wide_bytes;
    collect.forward.push_back(memory_kernel(DType::f32, real(rows_gradient.bytes() + wide_bytes)));
  }
  collect.forward.push_back(memory_kernel(DType::f32, real(2 * wide_bytes)));
  b.drop(rows_gradient);
}

/// logits[..., :-1, :].contiguous(): all but each sequence's last token, a smaller block than the logits'. Of one
/// sequence they are contiguous as they lie. The copy hands its gradient on, and the slices write theirs.
Tensor shift_logits(GraphBuilder& b, const Tensor& logits) {
  const std::int64_t kept = std::max<std::int64_t>(1, b.tokens() - b.options().micro_batch);
  const std::int64_t numel = logits.numel / b.tokens() * kept;
  const bool copies = b.options().micro_batch > 1;
  const int slices = b.options().transformers == Transformers::v4_57 ? 1 : 2;  // of the tokens, and `:`
  Tensor rows = logits;
  const auto advance = [&](const Tensor& next) {
    b.drop_unless(rows, logits);
    rows = next;
  };
  for (int i = copies ? 1 : 0; i < slices; ++i) advance(b.slice(rows, numel));
  if (copies) advance(b.elementwise("shift_logits", {rows}, numel, logits.type));
  b.value(rows).is_logits = true;
  return rows;
}

}  // namespace

Tensor cross_entropy(GraphBuilder& b, const Tensor& logits, const Tensor& labels) {
  const Tensor wide = b.cast(logits, DType::f32);
  const Tensor rows = b.options().transformers == Transformers::v4_57 ? wide : shift_logits(b, wide);
  // Labels are padded and cut; what is cut of one sequence is contiguous, and stays a view of the padded copy.
  const std::int64_t padded = labels.numel + 2 * b.options().micro_batch;  // an int64 a sequence
  const bool is_view = b.options().micro_batch == 1;
  const Tensor shifted = b.elementwise("shift_labels", {labels}, is_view ? padded : labels.numel, labels.type);
  if (!is_view) b.last().scratch = padded * size_of(labels.type);
  const Tensor log_probabilities = b.saving_result("log_softmax", rows, DType::f32);
  b.value(log_probabilities).is_logits = true;
  const Tensor loss = b.make(1, DType::f32);
  const Tensor total_weight = b.make(1, DType::f32, false);
  Operator& nll =
      b.run("nll_loss", {log_probabilities, shifted}, {loss, total_weight}, {log_probabilities, shifted, total_weight});
  const double gathered = static_cast<double>(b.tokens() * (labels.numel / b.tokens() + 1) * size_of(DType::f32));
  nll.forward.push_back(memory_kernel(DType::f32, gathered));
  nll.backward.push_back(memory_kernel(DType::f32, static_cast<double>(log_probabilities.bytes())));  // zeros
  nll.backward.push_back(memory_kernel(DType::f32, gathered));
  b.drop(log_probabilities);
  b.drop(shifted);
  b.drop(total_weight);
  b.drop_unless(rows, wide);
  b.drop_unless(wide, logits);
  return loss;
}

// The logits are read twice in forward, and once in backward, where their gradient is written over them. FOAK's
// FastForCausalLMLoss (kernels/unsloth/cross_entropy_loss.py) widens them first, as transformers' own loss does.
Tensor kernel_cross_entropy(GraphBuilder& b, const Tensor& logits, const Tensor& labels) {
  const bool shifts = is_transformers(b.options().implementation);
  const Tensor wide = b.options().implementation == Implementation::foak ? b.cast(logits, DType::f32) : logits;
  const Tensor rows = shifts ? shift_logits(b, wide) : wide;
  const Tensor row_sums = b.make(b.tokens(), DType::f32, false);
  const Tensor loss = b.make(1, DType::f32);
  Operator& op = b.run("cross_entropy", {rows, labels}, {loss, row_sums}, {rows, labels, row_sums});
  op.forward.push_back(memory_kernel(rows.type, real(2 * rows.bytes())));
  op.backward.push_back(memory_kernel(rows.type, real(2 * rows.bytes())));
  b.gradient_in_place(rows);
  b.drop(row_sums);
  b.drop_unless(rows, wide);
  b.drop_unless(wide, logits);
  return loss;
}

// The chunks of one sequence are views of it; those of several sequences are copied together. Under autocast the
// weight's 16-bit copy is made once. The weight's gradients are summed in their own type and handed over once, as later
// versions do, which synchronise after the last chunk; earlier ones reduced them after every chunk.
Tensor chunked_cross_entropy(GraphBuilder& b, ModuleId id, const Tensor& hidden) {
  return b.call(id, [&] {
    const Head head = head_of(b, id);
    const bool copies = b.options().micro_batch > 1;
    Chunks chunks{copies ? detached(b, "chunk", {hidden}, hidden.numel, hidden.type, false) : hidden,
                  detached(b, "zeros", {}, hidden.numel, DType::f32, false),
                  {},
                  {}};
    std::optional<Tensor> cast_weight;
    if (head.casts_weight && !head.trained.empty()) {
      cast_weight = detached(b, "cast_weight", {}, head.elements(), head.type, false);
    }
    for (std::int64_t i = 0; i < loss_chunks; ++i) run_chunk(b, head, chunks);
    const Tensor gradient = hidden.type == DType::f32
                                ? chunks.accumulator
                                : detached(b, "cast", {chunks.accumulator}, hidden.numel, hidden.type, false);
    const Tensor loss = b.make(1, DType::f32);
    hand_over(b.run("chunked_loss", {hidden}, {loss}), head, gradient, chunks.weight_gradients);
    b.drop_unless(chunks.rows, hidden);
    b.drop_unless(gradient, chunks.accumulator);
    b.drop(chunks.accumulator);
    b.drop(*chunks.logits);
    if (cast_weight) b.drop(*cast_weight);
    for (const Tensor& held : chunks.weight_gradients) b.drop(held);
    return loss;
  });
}

// Logits of a chunk take about as many elements as all hidden states. The kernel that turns them into their gradient
// reads them twice and writes them once; the weight's gradient is added to by the product itself. Autocast casts the
// weight for every product, as a transposed weight is not cached. In backward the host compares the loss's gradient
// to 1.
Tensor fused_cross_entropy(GraphBuilder& b, ModuleId id, const Tensor& hidden, const Tensor& labels) {
  return b.call(id, [&] {
    const Head head = head_of(b, id);
    const std::int64_t share = ceil_div(b.tokens(), ceil_div(head.vocab, head.width));
    const std::int64_t most = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(share)));
    const std::int64_t chunk = std::min(most, b.tokens());
    const Tensor gradient = b.make(hidden.numel, hidden.type, false);
    const std::vector<Tensor> weight_gradients = parameter_gradients(b, head);
    const Tensor logits = b.make(chunk * head.vocab, head.type, false);
    b.value(logits).is_logits = true;
    const Tensor loss = b.make(1, DType::f32);
    Operator& op = b.run("fused_cross_entropy", {hidden, labels}, {loss, gradient, logits});
    for (const Tensor& tensor : weight_gradients) op.outputs.push_back(tensor.id);
    hand_over(op, head, gradient, weight_gradients);
    op.reads_scalar = true;
    op.scratch = b.tokens() * size_of(DType::f32);  // the loss of each token
    if (head.casts_weight) op.scratch += head.elements() * size_of(head.type);
    op.forward.push_back(memory_kernel(gradient.type, real(gradient.bytes())));
    for (const Tensor& zeros : weight_gradients) op.forward.push_back(memory_kernel(zeros.type, real(zeros.bytes())));
    for (std::int64_t done = 0; done < b.tokens(); done += chunk) {
      const std::int64_t rows = std::min(chunk, b.tokens() - done);
      if (head.casts_weight) {
        const std::int64_t both = size_of(head.type) + size_of(DType::f32);
        op.forward.push_back(memory_kernel(head.type, real(head.elements() * both)));
      }
      op.forward.push_back(matmul_kernel(head.type, rows, head.vocab, head.width));
      op.forward.push_back(memory_kernel(head.type, real(3 * rows * head.vocab * size_of(head.type))));
      op.forward.push_back(matmul_kernel(head.type, rows, head.width, head.vocab));
      if (!head.trained.empty()) op.forward.push_back(matmul_kernel(head.type, head.vocab, head.width, rows));
    }
    for (const Tensor& gone : {gradient, logits}) b.drop(gone);
    for (const Tensor& held : weight_gradients) b.drop(held);
    return loss;
  });
}

}  // namespace shardsim::graph
