#include "model/graph_builder.hpp"

#include <algorithm>

#include "model/core/check.hpp"

namespace shardsim::graph {

namespace {

// Operators, values and steps of one decoder layer of the largest dense family; only sizes the reservations.
constexpr std::size_t operators_per_layer = 48;
constexpr std::size_t values_per_layer = 56;
constexpr std::size_t steps_per_layer = 144;

DType stored_type(Precision precision) {
  return precision == Precision::amp_bf16 ? DType::f32 : compute_type(precision);
}

DType embedding_type(const Architecture& architecture, DType otherwise) {
  for (const Module& module : architecture.modules) {
    if (module.kind != ModuleKind::embedding || module.is_copied()) continue;
    return architecture.parameter(module.parameters.front()).type.value_or(otherwise);
  }
  return otherwise;
}

}  // namespace

Kernel memory_kernel(DType type, double bytes) {
  Kernel kernel;
  kernel.kind = KernelKind::memory;
  kernel.type = type;
  kernel.bytes = bytes;
  return kernel;
}

Kernel matmul_kernel(DType type, std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t batch) {
  Kernel kernel;
  kernel.kind = KernelKind::matmul;
  kernel.type = type;
  kernel.m = m;
  kernel.n = n;
  kernel.k = k;
  kernel.batch = batch;
  const double dm = static_cast<double>(m), dn = static_cast<double>(n), dk = static_cast<double>(k);
  const double times = static_cast<double>(batch);
  kernel.flops = 2 * dm * dn * dk * times;
  kernel.bytes = (dm * dk + dk * dn + dm * dn) * times * static_cast<double>(size_of(type));
  return kernel;
}

ModuleId Children::need(ModuleKind kind) {
  SHARDSIM_CHECK(next_is(kind), parent_.name.c_str());
  return take(kind);
}

GraphBuilder::GraphBuilder(const Architecture& architecture, const GraphOptions& options)
    : architecture_(architecture),
      options_(options),
      tokens_(options.micro_batch * options.seq_len),
      compute_(compute_type(options.precision)),
      weights_(stored_type(options.precision)),
      residual_(embedding_type(architecture, weights_)) {
  const std::size_t layers = static_cast<std::size_t>(dims().layers) + 1;
  graph_.operators.reserve(layers * operators_per_layer);
  graph_.values.reserve(layers * values_per_layer);
  names_.reserve(layers * values_per_layer);
  graph_.forward.reserve(layers * steps_per_layer);
}

Tensor GraphBuilder::make(std::int64_t numel, DType type, bool needs_gradient) {
  const ValueId id(graph_.values.size());
  Value made;
  made.bytes = numel * size_of(type);
  made.needs_gradient = needs_gradient;
  graph_.values.push_back(made);
  names_.push_back(1);
  return {id, id, numel, type};
}

Tensor GraphBuilder::view(const Tensor& base, std::int64_t numel) {
  Tensor part = make(0, base.type, needs_gradient(base));
  part.storage = base.storage;
  ++names_[base.storage.index()];
  part.numel = numel;
  value(part).gradient_bytes = part.bytes();
  value(part).is_logits = value(base).is_logits;
  return part;
}

void GraphBuilder::drop(const Tensor& tensor) {
  const bool is_view = !(tensor.id == tensor.storage);
  if (is_view) step(Step::Kind::drop, tensor.id.index());
  if (--names_[tensor.storage.index()] == 0) step(Step::Kind::drop, tensor.storage.index());
}

DType GraphBuilder::type_of(ParameterId parameter) const {
  return architecture_.parameter(parameter).type.value_or(weights_);
}

bool GraphBuilder::trains(const std::vector<ParameterId>& parameters) const {
  return std::any_of(parameters.begin(), parameters.end(),
                     [&](ParameterId id) { return architecture_.parameter(id).trainable; });
}

bool GraphBuilder::trains_weight(const std::vector<ParameterId>& parameters) const {
  return std::any_of(parameters.begin(), parameters.end(), [&](ParameterId id) {
    const Parameter& parameter = architecture_.parameter(id);
    return parameter.trainable && parameter.shape.size() > 1;
  });
}

Operator& GraphBuilder::run(std::string_view name, Tensors inputs, Tensors outputs, Tensors saved,
                            const std::vector<ParameterId>& parameters) {
  step(Step::Kind::run, graph_.operators.size());
  Operator& op = graph_.operators.emplace_back();
  op.name = name;
  op.module = module_;
  op.inputs.reserve(inputs.size());
  op.outputs.reserve(outputs.size());
  op.saved.reserve(saved.size());
  for (const Tensor& tensor : inputs) op.inputs.push_back(tensor.id);
  for (const Tensor& tensor : outputs) op.outputs.push_back(tensor.id);
  for (const ParameterId id : parameters) {
    if (architecture_.parameter(id).trainable) op.parameters.push_back(id);
  }
  const bool differentiable = !op.parameters.empty() || std::any_of(inputs.begin(), inputs.end(),
                                                                    [&](const Tensor& t) { return needs_gradient(t); });
  if (differentiable) {
    for (const Tensor& tensor : saved) op.saved.push_back(tensor.storage);
  } else {
    for (const Tensor& tensor : outputs) value(tensor).needs_gradient = false;
  }
  return op;
}

Tensor GraphBuilder::elementwise(std::string_view name, Tensors inputs, std::int64_t numel, DType type, Tensors saved) {
  bool differentiable = false;
  std::int64_t read = 0, written_back = 0, kept = 0;
  for (const Tensor& input : inputs) {
    read += input.bytes();
    if (!needs_gradient(input)) continue;
    differentiable = true;
    written_back += input.bytes();
  }
  for (const Tensor& tensor : saved) kept += tensor.bytes();
  const Tensor result = make(numel, type, differentiable);
  Operator& op = run(name, inputs, {result}, differentiable ? saved : Tensors{});
  op.forward.push_back(memory_kernel(type, static_cast<double>(read + result.bytes())));
  if (differentiable) {
    op.backward.push_back(memory_kernel(type, static_cast<double>(result.bytes() + kept + written_back)));
  }
  return result;
}

Tensor GraphBuilder::saving_result(std::string_view name, const Tensor& input, DType type) {
  const Tensor result = elementwise(name, {input}, input.numel, type);
  Operator& op = last();
  if (!needs_gradient(result)) return result;
  op.saved.push_back(result.storage);
  op.backward.front().bytes += static_cast<double>(result.bytes());
  return result;
}

Tensor GraphBuilder::cast(const Tensor& input, DType type) {
  if (input.type == type) return input;
  const Tensor result = elementwise("to", {input}, input.numel, type);
  value(result).is_logits = value(input).is_logits;
  return result;
}

Tensor GraphBuilder::multiply(std::string_view name, const Tensor& a, const Tensor& b) {
  const std::int64_t numel = std::max(a.numel, b.numel);
  const DType type = promoted(a.type, b.type);
  const bool a_needs = needs_gradient(a), b_needs = needs_gradient(b);
  if (a_needs && b_needs) return elementwise(name, {a, b}, numel, type, {a, b});
  if (a_needs) return elementwise(name, {a, b}, numel, type, {b});
  return elementwise(name, {a, b}, numel, type, {a});
}

Tensor GraphBuilder::add(std::string_view name, const Tensor& a, const Tensor& b) {
  const DType type = promoted(a.type, b.type);
  // The kernel promotes on the fly, but autograd casts the gradient back: a memoryless operator stands for that.
  const auto promote = [&](const Tensor& operand) {
    if (operand.type == type || !needs_gradient(operand)) return operand;
    Tensor wide = view(operand, operand.numel);
    wide.type = type;
    value(wide).gradient_bytes = wide.bytes();
    Operator& op = run("promote", {operand}, {wide});
    op.backward.push_back(memory_kernel(type, static_cast<double>(wide.bytes() + operand.bytes())));
    return wide;
  };
  const Tensor left = promote(a), right = promote(b);
  const Tensor sum = make(std::max(a.numel, b.numel), type, needs_gradient(a) || needs_gradient(b));
  Operator& op = run(name, {left, right}, {sum});
  op.forward.push_back(memory_kernel(type, static_cast<double>(a.bytes() + b.bytes() + sum.bytes())));
  op.passes_gradient = true;
  drop_unless(left, a);
  drop_unless(right, b);
  return sum;
}

void GraphBuilder::gradient_in_place(const Tensor& input) {
  if (!needs_gradient(input)) return;
  const auto writer = std::find_if(graph_.operators.rbegin(), graph_.operators.rend(), [&](const Operator& op) {
    return std::find(op.outputs.begin(), op.outputs.end(), input.id) != op.outputs.end();
  });
  SHARDSIM_CHECK(writer != graph_.operators.rend(), "an operator wrote every value");
  writer->saved.push_back(input.storage);
  value(input).gradient_bytes = 0;
}

Tensor GraphBuilder::dropout(const Tensor& input, double p) {
  if (p == 0) return input;
  const Tensor result = make(input.numel, input.type);
  Tensor mask = make(0, DType::f8, false);
  mask.numel = input.numel;
  value(mask).bytes = input.numel;  // one bool an element
  Operator& op = run("dropout", {input}, {result, mask}, {mask});
  const double bytes = static_cast<double>(2 * input.bytes() + input.numel);
  op.forward.push_back(memory_kernel(input.type, bytes));
  op.backward.push_back(memory_kernel(input.type, bytes));
  drop(mask);
  return result;
}

std::vector<Tensor> GraphBuilder::split(const Tensor& base, std::initializer_list<std::int64_t> parts) {
  std::int64_t row = 0;
  for (const std::int64_t part : parts) row += part;
  std::vector<Tensor> views;
  views.reserve(parts.size());
  for (const std::int64_t part : parts) views.push_back(view(base, base.numel / row * part));
  Operator& op = run("split", {base}, {});
  for (const Tensor& part : views) op.outputs.push_back(part.id);
  op.backward.push_back(memory_kernel(base.type, static_cast<double>(2 * base.bytes())));
  return views;
}

Tensor GraphBuilder::slice(const Tensor& base, std::int64_t numel) {
  const Tensor part = view(base, numel);
  run("slice", {base}, {part})
      .backward.push_back(memory_kernel(base.type, static_cast<double>(base.bytes() + 2 * part.bytes())));
  return part;
}

Tensor GraphBuilder::matmul(std::string_view name, const Tensor& a, const Tensor& b, std::int64_t m, std::int64_t n,
                            std::int64_t k, std::int64_t batch) {
  const Tensor left = lowered(a), right = lowered(b);
  const Tensor product = make(m * n * batch, left.type);
  Operator& op = run(name, {left, right}, {product});
  op.forward.push_back(matmul_kernel(left.type, m, n, k, batch));
  if (needs_gradient(left)) {
    op.saved.push_back(right.storage);
    op.backward.push_back(matmul_kernel(left.type, m, k, n, batch));
  }
  if (needs_gradient(right)) {
    op.saved.push_back(left.storage);
    op.backward.push_back(matmul_kernel(left.type, k, n, m, batch));
  }
  drop_unless(left, a);
  drop_unless(right, b);
  return product;
}

}  // namespace shardsim::graph
