// DoRA: the low-rank product and the frozen one, scaled by the magnitude of each row over the norm of W + BA, which
// forward computes anew each time. Sources: peft 0.21, src/peft/tuners/lora/dora.py (DoraLinearLayer.forward) and
// variants.py (DoraLinearVariant).
#include "model/core/units.hpp"
#include "model/graph_builder.hpp"

namespace shardsim::graph {

namespace {

double real(std::int64_t count) { return static_cast<double>(count); }

/// W of one wrapped module and what is added to it, as DoRA sees them. Experts go through it one after the other.
struct Weights {
  std::int64_t in, out, rank, groups;
  DType adapter;  ///< type of A and B
  DType product;  ///< of a matrix product of both
  DType states;   ///< of the module's input
  DType stored;   ///< of W, expanded where it is quantized
  bool quantized;
};

/// A tensor without gradient, written by one kernel for each module.
Tensor fresh(GraphBuilder& b, std::string_view name, const Weights& w, Tensors inputs, std::int64_t numel, DType type) {
  const Tensor result = b.make(numel, type, false);
  std::int64_t bytes = result.bytes();
  for (const Tensor& input : inputs) bytes += input.bytes();
  b.run(name, inputs, {result}).forward.push_back(memory_kernel(type, real(bytes) * real(w.groups)));
  return result;
}

Tensor converted(GraphBuilder& b, const Weights& w, const Tensor& tensor, DType type) {
  if (tensor.type == type) return tensor;
  const Tensor result = fresh(b, "to", w, {tensor}, tensor.numel, type);
  b.drop(tensor);
  return result;
}

Tensor product(GraphBuilder& b, std::string_view name, const Weights& w, const Tensor& input, std::int64_t m,
               std::int64_t n, std::int64_t k) {
  const Tensor result = b.make(m * n, w.product, false);
  Operator& op = b.run(name, {input}, {result});
  const bool fp8 = b.computes_in_fp8(w.product, k, n);
  if (fp8) {
    const std::int64_t operands = m * k + k * n;
    op.scratch = operands;
    op.forward.push_back(memory_kernel(DType::f8, fp8_cast_bytes * real(operands * w.groups)));
  }
  op.forward.push_back(matmul_kernel(fp8 ? DType::f8 : w.product, m, n, k, w.groups));
  return result;
}

/// BA, as the product of an identity matrix with A and B. Its own graph keeps the identity and its product with A.
Tensor low_rank_weight(GraphBuilder& b, const Weights& w, std::vector<Tensor>& locals) {
  const Tensor identity = converted(b, w, fresh(b, "eye", w, {}, w.in * w.in, w.adapter), w.product);
  const Tensor narrow = product(b, "lora_A", w, identity, w.in, w.rank, w.in);
  const Tensor update = product(b, "lora_B", w, narrow, w.in, w.out, w.rank);
  locals = {identity, narrow};
  return converted(b, w, update, w.states);
}

/// W in the type of the states; nothing where it is there already.
std::optional<Tensor> base_weight(GraphBuilder& b, const Weights& w) {
  if (!w.quantized && w.stored == w.states) return std::nullopt;
  const std::int64_t numel = w.in * w.out;
  if (!w.quantized) return fresh(b, "to", w, {}, numel, w.states);
  return converted(b, w, fresh(b, "dequantize", w, {}, numel, w.stored), w.states);
}

/// The norm of each row of W + scaling * BA, and that sum where something keeps it.
struct Norm {
  Tensor norm;
  std::optional<Tensor> sum;
};

// PEFT makes a parameter of a transposed weight, and so one that is trained: what refers to the norm then keeps the
// norm's own graph.
Norm weight_norm(GraphBuilder& b, const Weights& w, const Tensor& update, bool keeps_sum) {
  const Tensor scaled = fresh(b, "scale", w, {update}, update.numel, w.states);
  const Tensor sum = fresh(b, "add", w, {scaled, update}, update.numel, w.states);
  b.drop(scaled);
  const Tensor wide = b.autocasts() ? converted(b, w, sum, DType::f32) : sum;  // norms are on autocast's fp32 list
  const Tensor norm = fresh(b, "norm", w, {wide}, w.out * w.groups, w.states);
  if (keeps_sum) return {norm, wide};
  b.drop(wide);
  return {norm, {}};
}

/// `states` times a factor for each column; both get gradients, and the factor's is summed from one of full size.
Tensor scaled_columns(GraphBuilder& b, const Tensor& states, const Tensor& factors) {
  const DType type = promoted(states.type, factors.type);
  const Tensor result = b.elementwise("magnitude", {states, factors}, states.numel, type, {states, factors});
  const std::int64_t whole = states.numel * size_of(type);
  b.last().backward_scratch = states.type == type ? whole : 2 * whole;
  b.last().backward.push_back(memory_kernel(type, real(2 * whole)));
  return result;
}

}  // namespace

Tensor GraphBuilder::dora(const std::vector<ModuleId>& wrappers, const DoraModules& modules, const Tensor& x,
                          const Tensor& base_result, bool dropped) {
  const Module& wrapped = architecture_.module(modules.base.front());
  const Parameter& base = architecture_.parameter(wrapped.parameters.front());
  const ParameterId lora_a = architecture_.module(modules.a.front()).parameters.front();
  const DType adapter = type_of(lora_a);
  Weights w{wrapped.in_features,
            wrapped.out_features,
            architecture_.parameter(lora_a).shape.front(),
            static_cast<std::int64_t>(wrappers.size()),
            adapter,
            autocasts() ? compute_ : adapter,
            x.type,
            type_of(wrapped.parameters.front()),
            base.quantization.has_value()};
  if (w.quantized) w.stored = base.quantization == Quantization::int8 ? DType::f32 : compute_;

  return call(modules.magnitude.front(), [&] {
    std::vector<Tensor> locals;
    const Tensor update = low_rank_weight(*this, w, locals);
    locals.push_back(update);
    const std::optional<Tensor> weight = base_weight(*this, w);
    if (weight) locals.push_back(*weight);
    const auto [norm, sum] = weight_norm(*this, w, update, !weight && wrapped.class_name == "Conv1D");

    std::vector<ParameterId> magnitudes;
    for (const ModuleId id : modules.magnitude) magnitudes.push_back(architecture_.module(id).parameters.front());
    const Tensor scale = make(norm.numel, promoted(norm.type, type_of(magnitudes.front())));
    Operator& divide = run("divide", {norm}, {scale}, {norm}, magnitudes);
    divide.forward.push_back(memory_kernel(scale.type, real(scale.bytes() + norm.bytes())));
    divide.weight_backward.push_back(memory_kernel(scale.type, real(scale.bytes() + norm.bytes())));
    if (sum) {
      divide.saved.push_back(sum->storage);
      drop(*sum);
    }
    drop(norm);

    const Tensor narrow = run_linear(modules.a, x);
    const Tensor wide = run_linear(modules.b, narrow);
    drop(narrow);
    Tensor frozen = base_result;
    if (dropped) {
      frozen = dropped_product(wrapped, weight, x, w.product, w.groups);
    } else if (wrapped.parameters.size() > 1) {
      frozen = elementwise("minus_bias", {base_result}, base_result.numel, base_result.type);
    }
    const Tensor offset = elementwise("minus_one", {scale}, scale.numel, scale.type);
    const Tensor moved = scaled_columns(*this, frozen, offset);
    drop(offset);
    const Tensor magnified = scaled_columns(*this, wide, scale);
    const Tensor scaled = elementwise("scale", {magnified}, magnified.numel, magnified.type);
    drop(magnified);
    const Tensor result = add("dora_add", moved, scaled);
    for (const Tensor& gone : {moved, scaled, wide, scale}) drop(gone);
    drop_unless(frozen, base_result);
    for (const Tensor& local : locals) drop(local);
    return result;
  });
}

// Dropout changed the input, so that the base's own result does not serve.
Tensor GraphBuilder::dropped_product(const Module& base, const std::optional<Tensor>& weight, const Tensor& x,
                                     DType type, std::int64_t groups) {
  const Tensor input = cast(x, type);
  const std::int64_t rows = input.numel / base.in_features;
  const std::int64_t rows_each = ceil_div(rows, groups);
  const Tensor result = make(rows * base.out_features, type);
  const std::int64_t numel = base.in_features * base.out_features * groups;
  // A weight that is no parameter as it stands lives until its product's backward.
  std::optional<Tensor> kept = weight;
  if (weight && (weight->type != type || groups > 1)) {
    kept = make(numel, type, false);
    run("cast_weight", {*weight}, {*kept}).forward.push_back(memory_kernel(type, real(2 * numel * size_of(type))));
  }
  Operator& op = kept ? run("base_result", {input, *kept}, {result}, {*kept}) : run("base_result", {input}, {result});
  op.forward.push_back(matmul_kernel(type, rows_each, base.out_features, base.in_features, groups));
  if (needs_gradient(input)) {
    op.backward.push_back(matmul_kernel(type, rows_each, base.in_features, base.out_features, groups));
  }
  if (kept && !(*kept == *weight)) drop(*kept);
  drop_unless(input, x);
  return result;
}

}  // namespace shardsim::graph
