// Rotary embedding and the attention itself, by each of the ways in which frameworks compute them.
#include <algorithm>

#include "model/graph_block.hpp"

namespace shardsim::graph {

namespace {

double real(std::int64_t count) { return static_cast<double>(count); }

std::int64_t window_of(const Dimensions& d, std::int64_t layer) {
  if (d.sliding_window == 0) return 0;
  const bool slides = d.layer_is_sliding.empty() || d.layer_is_sliding[static_cast<std::size_t>(layer)];
  return slides ? d.sliding_window : 0;
}

/// Pairs of query and key that a kernel works on, a sequence and head. Causal kernels skip what lies above the
/// diagonal, and what lies before the window.
double attended_pairs(const Dimensions& d, AttentionPath path, std::int64_t seq, std::int64_t layer) {
  const double s = real(seq);
  if (path != AttentionPath::flash) return s * s;
  const std::int64_t window = window_of(d, layer);
  if (window == 0 || window >= seq) return s * s / 2;
  return real(window) * s - real(window) * real(window) / 2;
}

/// Families whose eager attention keeps the scores' type in the softmax; the others compute it in fp32.
bool softmax_keeps_type(Family family) { return family == Family::gpt2 || family == Family::falcon; }

/// (q * cos) + (rotate_half(q) * sin), as transformers spells it.
Tensor rotate_by_halves(GraphBuilder& b, const Tensor& states, const Tensor& cos, const Tensor& sin) {
  const Tensor straight = b.multiply("times_cos", states, cos);
  const Tensor half = b.elementwise("rotate_half", {states}, states.numel, states.type);
  Operator& rotate_half = b.last();
  rotate_half.forward.push_back(memory_kernel(states.type, real(states.bytes())));  // -x2
  rotate_half.scratch = states.bytes() / 2;
  rotate_half.backward.push_back(memory_kernel(states.type, real(2 * states.bytes())));  // each slice is padded
  rotate_half.backward_scratch = states.bytes();
  const Tensor turned = b.multiply("times_sin", half, sin);
  b.drop(half);
  const Tensor sum = b.add("add", straight, turned);
  b.drop(straight);
  b.drop(turned);
  return sum;
}

/// True where the rotated part of a head is concatenated with the rest, which lays the states out head by head.
bool rotation_concatenates(const GraphBuilder& b) {
  const Dimensions& d = b.dims();
  const bool partial = d.family == Family::phi3 || d.rotary_dim < d.head_dim;
  return d.rotary && !d.latent && partial && b.options().implementation == Implementation::hf;
}

Tensor rotate_and_concatenate(GraphBuilder& b, const Tensor& states, const SharedTables& tables) {
  const Dimensions& d = b.dims();
  const std::vector<Tensor> parts = b.split(states, {d.rotary_dim, d.head_dim - d.rotary_dim});
  const Tensor turned = rotate_by_halves(b, parts[0], *tables.cos, *tables.sin);
  const Tensor result = b.elementwise("cat", {turned, parts[1]}, states.numel, turned.type);
  for (const Tensor& gone : {turned, parts[0], parts[1]}) b.drop(gone);
  return result;
}

/// A complex product in fp32, as torchtitan spells it.
Tensor rotate_complex(GraphBuilder& b, const Tensor& states, const Tensor& table) {
  const Tensor wide = b.cast(states, DType::f32);
  const Tensor turned = b.multiply("times_cis", wide, table);
  b.drop_unless(wide, states);
  const Tensor result = b.cast(turned, states.type);
  b.drop_unless(turned, result);
  return result;
}

/// A kernel that works in place, forward and backward, as Liger's does.
Tensor rotate_in_place(GraphBuilder& b, const Tensor& states) {
  const Tensor turned = b.view(states, states.numel);
  Operator& op = b.run("rope", {states}, {turned});
  op.forward.push_back(memory_kernel(states.type, real(2 * states.bytes())));
  op.backward.push_back(memory_kernel(states.type, real(2 * states.bytes())));
  op.passes_gradient = true;
  return turned;
}

/// Query heads that share one head of keys and values when attention begins.
std::int64_t query_group(const Dimensions& d) { return d.latent || falcon_repeats_heads(d) ? 1 : d.heads / d.kv_heads; }

Tensor repeat_heads(GraphBuilder& b, const Tensor& states, std::int64_t times) {
  if (times == 1) return states;
  return b.elementwise("repeat_kv", {states}, states.numel * times, states.type);
}

/// matmul() folds batch and heads into one dimension, which takes a copy where tokens lie between the two in memory.
Tensor fold_heads(GraphBuilder& b, const Tensor& states) {
  if (b.options().micro_batch == 1) return states;
  return b.elementwise("fold_heads", {states}, states.numel, states.type);
}

struct Shape {
  std::int64_t batch, seq, heads, head_dim, value_dim;
};

Shape shape_of(const GraphBuilder& b) {
  const Dimensions& d = b.dims();
  const std::int64_t value_dim = d.latent ? d.latent->value_dim : d.head_dim;
  return {b.options().micro_batch, b.options().seq_len, d.heads, d.head_dim, value_dim};
}

Kernel attention_kernel(const GraphBuilder& b, AttentionPath path, std::int64_t layer, DType type, bool backward) {
  const Shape shape = shape_of(b);
  Kernel kernel;
  kernel.kind = KernelKind::attention;
  kernel.type = type;
  kernel.seq = shape.seq;
  kernel.heads = shape.heads;
  kernel.head_dim = shape.head_dim;
  kernel.batch = shape.batch;
  kernel.backward = backward;
  kernel.first_generation = b.dims().family == Family::mpt;
  const double pairs = attended_pairs(b.dims(), path, shape.seq, layer) * real(shape.batch * shape.heads);
  const double forward = 2 * pairs * real(shape.head_dim + shape.value_dim);
  kernel.flops = backward ? 2.5 * forward : forward;  // five products instead of two
  return kernel;
}

/// One fused kernel that keeps q, k, v, its output and the log-sum-exp of each row.
Tensor fused_attention(GraphBuilder& b, const Tensor& q0, const Tensor& k0, const Tensor& v0,
                       const std::optional<Tensor>& bias, std::int64_t layer) {
  // flash-attn takes 16 bits only; transformers casts to them where upcast norms have made the states fp32.
  const auto taken = [&](const Tensor& states) {
    return b.options().attention == AttentionKind::flash ? b.cast(states, b.compute()) : b.lowered(states);
  };
  const Tensor q = taken(q0), k = taken(k0), v = taken(v0);
  const AttentionPath path = bias ? AttentionPath::masked : AttentionPath::flash;
  const Tensor output = b.make(q.numel / k.numel * v.numel, q.type);
  const Tensor row_sums = b.make(b.tokens() * b.dims().heads, DType::f32, false);
  Operator& op = bias ? b.run("attention", {q, k, v, *bias}, {output, row_sums}, {q, k, v, *bias, output, row_sums})
                      : b.run("attention", {q, k, v}, {output, row_sums}, {q, k, v, output, row_sums});
  Kernel forward = attention_kernel(b, path, layer, q.type, false);
  forward.bytes = real(q.bytes() + k.bytes() + v.bytes() + output.bytes());
  op.forward.push_back(forward);
  Kernel backward = attention_kernel(b, path, layer, q.type, true);
  backward.bytes = 2 * forward.bytes + real(output.bytes());
  op.backward.push_back(backward);
  const std::int64_t row_terms = row_sums.bytes();  // rowsum(dO * O)
  op.backward_scratch = row_terms;
  if (path == AttentionPath::flash) {
    op.backward_scratch += q.numel * size_of(DType::f32);         // dq is summed in fp32
    if (k.numel < q.numel) op.backward_scratch += 2 * q.bytes();  // dk and dv of each query head, then summed
  }
  b.drop(row_sums);
  b.drop_unless(q, q0);
  b.drop_unless(k, k0);
  b.drop_unless(v, v0);
  return output;
}

Tensor flash_attention(GraphBuilder& b, const Tensor& q, const Tensor& k, const Tensor& v, std::int64_t layer) {
  const Shape shape = shape_of(b);
  // flash-attn wants heads of one size: values are padded, and the output is cut.
  const bool pads = shape.value_dim != shape.head_dim && b.options().attention == AttentionKind::flash;
  const Tensor values = pads ? b.elementwise("pad", {v}, k.numel, v.type) : v;
  const Tensor result = fused_attention(b, q, k, values, std::nullopt, layer);
  b.drop_unless(values, v);
  // The output lies in memory as q does. Where that is not token by token, the output projection needs a copy. SDPA's
  // fp32 kernel writes token by token.
  const bool as_queries = b.options().attention == AttentionKind::flash || result.type != DType::f32;
  const bool moves_heads = as_queries && (b.dims().latent || rotation_concatenates(b));
  if (!pads && !moves_heads) return result;
  const Tensor output = b.elementwise("contiguous", {result}, b.tokens() * shape.heads * shape.value_dim, result.type);
  b.drop(result);
  return output;
}

/// SDPA turns the boolean mask into an additive one anew in every layer, and autograd keeps that.
Tensor masked_attention(GraphBuilder& b, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                        std::int64_t layer) {
  const std::int64_t group = query_group(b.dims());
  const Tensor keys = repeat_heads(b, k, group), values = repeat_heads(b, v, group);
  const Tensor bias = b.elementwise("mask_bias", {mask}, mask.numel, b.compute());
  const Tensor output = fused_attention(b, q, keys, values, bias, layer);
  b.drop(bias);
  b.drop_unless(keys, k);
  b.drop_unless(values, v);
  return output;
}

/// tanh(scores / cap) * cap
Tensor soft_cap(GraphBuilder& b, const Tensor& scores) {
  const Tensor divided = b.elementwise("divide", {scores}, scores.numel, scores.type);
  b.drop(scores);
  const Tensor capped = b.saving_result("tanh", divided, divided.type);
  b.drop(divided);
  const Tensor scaled = b.elementwise("scale", {capped}, capped.numel, capped.type);
  b.drop(capped);
  return scaled;
}

/// The softmax of masked scores, in the type of the queries.
Tensor probabilities(GraphBuilder& b, const Tensor& masked, DType type) {
  const bool keeps_type = softmax_keeps_type(b.dims().family) && !b.autocasts();
  const Tensor wide = keeps_type ? masked : b.cast(masked, DType::f32);
  const Tensor soft = b.saving_result("softmax", wide, wide.type);
  b.drop_unless(wide, masked);
  const Tensor result = b.cast(soft, type);
  b.drop_unless(soft, result);
  return result;
}

/// Megatron's kernel scales, masks and normalises scores in registers, and keeps its 16-bit result.
Tensor fused_softmax(GraphBuilder& b, const Tensor& scores) {
  const Tensor soft = b.saving_result("scale_mask_softmax", scores, scores.type);
  b.drop(scores);
  return soft;
}

/// gpt2 divides by a tensor of one element, which autograd keeps; the others by a number.
Tensor scale_scores(GraphBuilder& b, const Tensor& raw) {
  if (b.dims().family != Family::gpt2) return b.elementwise("scale", {raw}, raw.numel, raw.type);
  const Tensor divisor = b.make(1, raw.type, false);
  b.run("divisor", {}, {divisor});
  const Tensor scaled = b.elementwise("scale", {raw, divisor}, raw.numel, raw.type, {divisor});
  b.drop(divisor);
  return scaled;
}

/// The softmax of scores, scaled, capped and masked.
Tensor softmax_of(GraphBuilder& b, const Tensor& raw, const Tensor& mask, DType type) {
  const Dimensions& d = b.dims();
  if (b.options().implementation == Implementation::megatron && d.attention_softcap == 0) return fused_softmax(b, raw);
  Tensor scores = scale_scores(b, raw);
  b.drop(raw);
  if (d.attention_softcap > 0) scores = soft_cap(b, scores);
  const Tensor masked = b.add("mask", scores, mask);
  b.drop(scores);
  const Tensor soft = probabilities(b, masked, type);
  b.drop(masked);
  return soft;
}

/// Keys or values of every query head, batch and heads folded into one dimension for matmul(). Falcon's one head is
/// broadcast, which takes a copy only where there are several sequences.
Tensor heads_for_matmul(GraphBuilder& b, const Tensor& states) {
  const std::int64_t group = query_group(b.dims());
  const bool broadcasts = b.dims().family == Family::falcon && b.options().micro_batch == 1;
  return group > 1 && !broadcasts ? repeat_heads(b, states, group) : fold_heads(b, states);
}

Branch eager_attention(GraphBuilder& b, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask) {
  const Dimensions& d = b.dims();
  const Shape shape = shape_of(b);
  const std::int64_t batch = shape.batch * shape.heads;
  const Tensor queries = fold_heads(b, q);
  const Tensor keys = heads_for_matmul(b, k), values = heads_for_matmul(b, v);
  const Tensor raw = b.matmul("scores", queries, keys, shape.seq, shape.seq, shape.head_dim, batch);
  b.drop_unless(queries, q);
  const Tensor soft = softmax_of(b, raw, mask, q.type);
  const Tensor weights = b.dropout(soft, d.attention_dropout);
  b.drop_unless(soft, weights);
  const Tensor context = b.matmul("context", weights, values, shape.seq, shape.value_dim, shape.seq, batch);
  const Tensor output = b.elementwise("contiguous", {context}, context.numel, context.type);
  b.drop(context);
  b.drop_unless(keys, k);
  b.drop_unless(values, v);
  return {output, weights};
}

/// aten/src/ATen/native/transformers/attention.cpp, _scaled_dot_product_attention_math: in fp32; queries and keys are
/// scaled by the root of the scale each, and the mask is added in place.
Tensor math_attention(GraphBuilder& b, const Tensor& q, const Tensor& k, const Tensor& v) {
  const Shape shape = shape_of(b);
  const std::int64_t batch = shape.batch * shape.heads;
  const bool broadcasts = b.dims().family == Family::falcon;
  const auto widened = [&](const Tensor& states) {
    const Tensor wide = b.cast(states, DType::f32);
    if (broadcasts || states == q) return wide;
    const Tensor repeated = repeat_heads(b, wide, query_group(b.dims()));
    b.drop_unless(wide, states);
    return repeated;
  };
  const auto scaled = [&](const Tensor& states) {
    const Tensor wide = widened(states);
    const Tensor result = b.elementwise("scale", {wide}, wide.numel, wide.type);
    b.drop_unless(wide, states);
    return result;
  };
  const Tensor scaled_q = scaled(q), scaled_k = scaled(k), wide_v = widened(v);
  const Tensor queries = fold_heads(b, scaled_q);
  const Tensor keys = broadcasts ? heads_for_matmul(b, scaled_k) : scaled_k;
  const Tensor values = broadcasts ? heads_for_matmul(b, wide_v) : wide_v;
  const Tensor scores = b.matmul("scores", queries, keys, shape.seq, shape.seq, shape.head_dim, batch);
  b.last().scratch = shape.seq * shape.seq * (2 + size_of(DType::f32));  // the causal mask: bool, its triangle, fp32
  b.drop_unless(queries, scaled_q);
  b.drop_unless(keys, scaled_k);
  b.drop(scaled_q);
  b.drop(scaled_k);
  const Tensor weights = b.saving_result("softmax", scores, scores.type);
  b.drop(scores);
  const Tensor context = b.matmul("context", weights, values, shape.seq, shape.value_dim, shape.seq, batch);
  b.drop(weights);
  b.drop_unless(values, wide_v);
  b.drop_unless(wide_v, v);
  const Tensor narrow = b.cast(context, q.type);
  b.drop_unless(context, narrow);
  const Tensor output = b.elementwise("contiguous", {narrow}, narrow.numel, narrow.type);
  b.drop(narrow);
  return output;
}

/// Flash takes 16 bits only, and the efficient kernel no grouped queries; falcon does not tell SDPA that it groups.
bool falls_to_math(const Dimensions& d, const GraphOptions& options) {
  const bool autocasts = options.precision == Precision::amp_bf16 || options.autocast;
  const bool wide = options.precision == Precision::fp32 && !autocasts;
  return query_group(d) > 1 && (wide || d.family == Family::falcon);
}

}  // namespace

AttentionPath attention_path(const Dimensions& d, const GraphOptions& options, std::int64_t layer) {
  switch (options.attention) {
    case AttentionKind::flash:
      return AttentionPath::flash;
    case AttentionKind::eager:
      return AttentionPath::eager;
    case AttentionKind::sdpa:
      break;
  }
  const std::int64_t window = window_of(d, layer);
  const bool needs_mask = d.alibi || (window > 0 && window < options.seq_len);
  if (needs_mask) return AttentionPath::masked;
  return falls_to_math(d, options) ? AttentionPath::math : AttentionPath::flash;
}

Tensor rotate(GraphBuilder& b, const Tensor& states, const SharedTables& tables) {
  switch (b.options().implementation) {
    case Implementation::torchtitan:
      return rotate_complex(b, states, *tables.cos);
    case Implementation::liger:
    case Implementation::foak:
      if (states.id == states.storage) return rotate_in_place(b, states);
      break;  // a view is copied first; the copy is what the halves' kernels would make
    case Implementation::megatron:
      return b.elementwise("fused_rope", {states}, states.numel, states.type);
    case Implementation::hf:
      break;
  }
  if (rotation_concatenates(b)) return rotate_and_concatenate(b, states, tables);
  return rotate_by_halves(b, states, *tables.cos, *tables.sin);
}

Branch attend(GraphBuilder& b, const Tensor& q, const Tensor& k, const Tensor& v, std::int64_t layer,
              const SharedTables& tables) {
  switch (attention_path(b.dims(), b.options(), layer)) {
    case AttentionPath::flash:
      return {flash_attention(b, q, k, v, layer), std::nullopt};
    case AttentionPath::masked:
      return {masked_attention(b, q, k, v, *tables.mask, layer), std::nullopt};
    case AttentionPath::math:
      return {math_attention(b, q, k, v), std::nullopt};
    case AttentionPath::eager:
      break;
  }
  return eager_attention(b, q, k, v, *tables.mask);
}

}  // namespace shardsim::graph
