// The leaf modules of the framework: what nn.Linear, the norms, nn.Embedding and the activations run and keep.
#include <algorithm>
#include <string_view>

#include "model/core/units.hpp"
#include "model/graph_builder.hpp"

namespace shardsim::graph {

namespace {

std::string_view local_name(const Module& module) {
  const std::string_view name = module.name;
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

std::int64_t numel_of(const Architecture& architecture, const std::vector<ParameterId>& parameters) {
  std::int64_t numel = 0;
  for (const ParameterId id : parameters) numel += architecture.parameter(id).numel;
  return numel;
}

double real(std::int64_t count) { return static_cast<double>(count); }

bool computes_norms_in_f32(Family family) {
  return family == Family::gemma || family == Family::gemma2 || family == Family::gemma3;
}

}  // namespace

// Autocast keeps one low-precision copy of each trained weight until the root's forward ends; autograd keeps it longer.
// A frozen one is cast at each use and kept by its product alone (aten/src/ATen/autocast_mode.cpp, cached_cast).
Tensor GraphBuilder::cast_weight(const std::vector<ParameterId>& parameters) {
  const Tensor copy = make(numel_of(architecture_, parameters), compute_);
  Operator& op = run("cast_weight", {}, {copy}, {}, parameters);
  const double bytes = real(copy.numel * (size_of(DType::f32) + size_of(compute_)));
  op.forward.push_back(memory_kernel(compute_, bytes));
  op.weight_backward.push_back(memory_kernel(DType::f32, bytes));
  if (needs_gradient(copy)) cast_weights_.push_back(copy);
  return copy;
}

void GraphBuilder::drop_cast_weights() {
  for (const Tensor& copy : cast_weights_) drop(copy);
  cast_weights_.clear();
}

// Dynamic scaling to fp8, once a tensor and product: a pass for the largest magnitude and a pass that casts (assumed:
// tensorwise scaling, nothing shared between products, and the 16-bit input kept for backward). torchao's Float8Linear
// is one function that keeps its input and computes both gradients whatever is frozen
// (torchao/float8/float8_linear.py); the gradient of a frozen weight goes at once.
void GraphBuilder::count_quantization(Operator& op, std::int64_t x, std::int64_t w, std::int64_t y) {
  op.forward.push_back(memory_kernel(DType::f8, fp8_cast_bytes * real(x + w)));
  op.backward.push_back(memory_kernel(DType::f8, fp8_cast_bytes * real(y + w)));
  op.weight_backward.push_back(memory_kernel(DType::f8, fp8_cast_bytes * real(x)));
  op.scratch = x + w;
  op.backward_scratch = std::max(y + w, y + x);
}

// A 4-bit weight is expanded to the type of the product before it, in backward again (bitsandbytes
// autograd/_functions.py, MatMul4Bit). LLM.int8 quantizes the rows of x and writes int32 sums in forward, and expands
// the weight in backward (MatMul8bitLt).
void GraphBuilder::count_dequantization(Operator& op, const Parameter& weight, std::int64_t groups, const Tensor& x,
                                        const Tensor& y) {
  const std::int64_t expanded = weight.numel * size_of(x.type);
  const double stored = real(weight.stored_bytes(x.type));
  const Kernel expand = memory_kernel(x.type, (stored + real(expanded)) * real(groups));
  op.backward_scratch = expanded;
  if (weight.quantization == Quantization::int8) {
    op.scratch = x.numel + y.numel * size_of(DType::f32);
    op.forward.push_back(memory_kernel(x.type, real(2 * x.bytes() + x.numel)));
    op.forward.push_back(memory_kernel(x.type, real(y.numel * size_of(DType::f32) + y.bytes())));
  } else {
    op.scratch = expanded;
    op.forward.push_back(expand);
  }
  if (needs_gradient(x)) op.backward.push_back(expand);
}

// Float8Linear replaces products whose both sizes are multiples of 16, but for the head (torchao's and accelerate's
// filters).
bool GraphBuilder::computes_in_fp8(DType input, std::int64_t in, std::int64_t out) const {
  return options_.precision == Precision::fp8_mixed && input != DType::f32 && out != dims().vocab && in % 16 == 0 &&
         out % 16 == 0;
}

Tensor GraphBuilder::projection(std::string_view name, const Tensor& input, std::int64_t in, std::int64_t out,
                                const std::vector<ParameterId>& parameters, std::int64_t groups) {
  const Parameter& first = architecture_.parameter(parameters.front());
  const std::int64_t rows = input.numel / in;
  const std::int64_t rows_each = ceil_div(rows, groups);
  const Tensor x = first.quantization ? cast(input, compute_) : lowered(input);
  const Tensor y = make(rows * out, x.type);
  const bool fp8 = computes_in_fp8(x.type, in, out);
  const DType type = fp8 ? DType::f8 : x.type;
  const bool trained = trains_weight(parameters);
  const bool keeps_input = trained || fp8;
  Operator* op = nullptr;
  if (autocasts() && !fp8 && !first.quantization && type_of(parameters.front()) != compute_) {
    const Tensor weight = cast_weight(parameters);
    op = trained ? &run(name, {x, weight}, {y}, {x, weight}) : &run(name, {x, weight}, {y}, {weight});
    if (!trained) drop(weight);
  } else {
    op = keeps_input ? &run(name, {x}, {y}, {x}, parameters) : &run(name, {x}, {y}, {}, parameters);
  }
  if (fp8) count_quantization(*op, x.numel, in * out * groups, y.numel);
  if (first.quantization) count_dequantization(*op, first, groups, x, y);
  op->forward.push_back(matmul_kernel(type, rows_each, out, in, groups));
  if (needs_gradient(x)) op->backward.push_back(matmul_kernel(type, rows_each, in, out, groups));
  if (fp8 && !trained) {
    op->weight_backward.push_back(matmul_kernel(type, out, in, rows_each, groups));
    op->backward_scratch += in * out * groups * size_of(x.type);
  }
  if (trained) {
    op->weight_backward.push_back(matmul_kernel(type, out, in, rows_each, groups));
  }
  const bool biased = numel_of(architecture_, parameters) > in * out * groups;
  if (biased && trains({parameters.back()})) {  // a sum over rows
    op->weight_backward.push_back(memory_kernel(y.type, real(y.bytes())));
  }
  drop_unless(x, input);
  if (!first.quantization) return y;
  const Tensor result = cast(y, input.type);  // bitsandbytes answers in the type of its input
  drop_unless(y, result);
  return result;
}

Tensor GraphBuilder::product(const std::vector<ModuleId>& modules, const Tensor& input) {
  const Module& first = architecture_.module(modules.front());
  std::vector<ParameterId> parameters;
  for (const ModuleId id : modules) {
    const std::vector<ParameterId>& own = architecture_.module(id).parameters;
    parameters.insert(parameters.end(), own.begin(), own.end());
  }
  return projection(local_name(first), input, first.in_features, first.out_features, parameters,
                    static_cast<std::int64_t>(modules.size()));
}

Tensor GraphBuilder::linear(ModuleId id, const Tensor& input) {
  return call(id, [&] {
    if (const ModuleId copy = architecture_.running(id); copy != id) return linear(copy, input);
    const std::vector<ModuleId> one = {id};
    return architecture_.module(id).children.empty() ? product(one, input) : low_rank(one, input);
  });
}

Tensor GraphBuilder::grouped_linear(const std::vector<ModuleId>& experts, const Tensor& input) {
  return architecture_.module(experts.front()).children.empty() ? product(experts, input) : low_rank(experts, input);
}

Tensor GraphBuilder::norm(ModuleId id, const Tensor& input) {
  return call(id, [&] {
    if (const ModuleId copy = architecture_.running(id); copy != id) return norm(copy, input);
    const std::vector<ParameterId>& parameters = architecture_.module(id).parameters;
    // A norm without parameters does not occur in these families, but its width would still be the row.
    const std::int64_t width = parameters.empty() ? dims().hidden : architecture_.parameter(parameters.front()).numel;
    const std::int64_t rows = input.numel / width;
    if (dims().norm == NormKind::layer || fused_norms()) return fused_norm(parameters, input, rows);
    return rms_norm(parameters, input, rows);
  });
}

// One kernel that keeps its input and the statistics of each row: mean and 1/std, or 1/rms alone.
Tensor GraphBuilder::fused_norm(const std::vector<ParameterId>& parameters, const Tensor& input, std::int64_t rows) {
  const bool own_kernel = patched_norms();  // which autocast does not know
  const Tensor x = autocasts() && !own_kernel ? cast(input, DType::f32) : input;
  const Tensor y = make(x.numel, x.type);
  const std::int64_t statistics_per_row = dims().norm == NormKind::layer ? 2 : 1;
  const Tensor statistics = make(rows * statistics_per_row, DType::f32, false);
  Operator& op = run(dims().norm == NormKind::layer ? "layer_norm" : "rms_norm", {x}, {y, statistics}, {x, statistics},
                     parameters);
  op.forward.push_back(memory_kernel(x.type, real(x.bytes() + y.bytes())));
  op.backward.push_back(memory_kernel(x.type, real(2 * x.bytes() + y.bytes())));
  if (trains(parameters)) op.weight_backward.push_back(memory_kernel(x.type, real(x.bytes() + y.bytes())));
  drop(statistics);
  drop_unless(x, input);
  return y;
}

// transformers' module, line by line: to fp32, x * rsqrt(mean(x^2) + eps), back to the input's type, * weight.
Tensor GraphBuilder::rms_norm(const std::vector<ParameterId>& weight, const Tensor& input, std::int64_t rows) {
  const Tensor x = cast(input, DType::f32);
  const Tensor rstd = make(rows, DType::f32);
  Operator& statistics = run("rstd", {x}, {rstd}, {x, rstd});
  const double pass = real(x.bytes()), row_pass = real(2 * rstd.bytes());
  for (const double bytes : {2 * pass, pass, row_pass, row_pass}) {  // pow, mean, + eps, rsqrt
    statistics.forward.push_back(memory_kernel(DType::f32, bytes));
  }
  for (const double bytes : {row_pass, pass, 2 * pass, 3 * pass}) {  // rsqrt, mean spread over the row, 2x, product
    statistics.backward.push_back(memory_kernel(DType::f32, bytes));
  }
  statistics.scratch = x.bytes();
  statistics.backward_scratch = 3 * x.bytes();  // the mean's gradient spread out, 2x and their product

  const Tensor normalized = multiply("normalize", x, rstd);
  Operator& normalize = last();
  normalize.backward.push_back(memory_kernel(DType::f32, 2 * pass));  // the gradient of rstd is summed over the row
  normalize.backward_scratch = x.bytes();
  drop(rstd);
  drop_unless(x, input);
  const Tensor y = scale_by_weight(weight, normalized, input);
  drop(normalized);
  return y;
}

Tensor GraphBuilder::scale_by_weight(const std::vector<ParameterId>& weight, const Tensor& normalized,
                                     const Tensor& input) {
  if (computes_norms_in_f32(dims().family)) return scale_by_weight_plus_one(weight, normalized, input.type);
  const Tensor x = cast(normalized, input.type);
  const bool trained = trains(weight);
  const Tensor scaled = make(x.numel, promoted(x.type, weight.empty() ? weights_ : type_of(weight.front())));
  Operator& op = trained ? run("weight", {x}, {scaled}, {x}, weight) : run("weight", {x}, {scaled});
  op.forward.push_back(memory_kernel(scaled.type, real(x.bytes() + scaled.bytes())));
  op.backward.push_back(memory_kernel(scaled.type, real(x.bytes() + scaled.bytes())));
  if (trained) {
    op.weight_backward.push_back(memory_kernel(scaled.type, real(x.bytes() + 2 * scaled.bytes())));  // product
    op.weight_backward.push_back(memory_kernel(scaled.type, real(scaled.bytes())));                  // its sum
    op.backward_scratch = scaled.bytes();
  }
  drop_unless(x, normalized);
  return scaled;
}

// gemma: (x * (1.0 + weight.float())).type_as(input)
Tensor GraphBuilder::scale_by_weight_plus_one(const std::vector<ParameterId>& weight, const Tensor& x, DType type) {
  const Tensor factor = make(numel_of(architecture_, weight), DType::f32);
  Operator& plus_one = run("plus_one", {}, {factor}, {}, weight);
  plus_one.forward.push_back(memory_kernel(DType::f32, real(2 * factor.bytes())));
  const bool trained = trains(weight);
  if (trained) plus_one.weight_backward.push_back(memory_kernel(DType::f32, real(2 * factor.bytes())));

  const Tensor scaled = make(x.numel, DType::f32);
  Operator& op = trained ? run("weight", {x, factor}, {scaled}, {x, factor}) : run("weight", {x}, {scaled}, {factor});
  op.forward.push_back(memory_kernel(DType::f32, real(x.bytes() + scaled.bytes())));
  op.backward.push_back(memory_kernel(DType::f32, real(x.bytes() + scaled.bytes())));
  if (trained) {
    op.backward.push_back(memory_kernel(DType::f32, real(x.bytes() + 2 * scaled.bytes())));  // product
    op.backward.push_back(memory_kernel(DType::f32, real(scaled.bytes())));                  // its sum
    op.backward_scratch = scaled.bytes();
  }
  drop(factor);
  const Tensor y = cast(scaled, type);
  drop_unless(scaled, y);
  return y;
}

Tensor GraphBuilder::embedding(ModuleId id, const std::optional<Tensor>& indices, std::int64_t rows) {
  return call(id, [&] {
    if (const ModuleId copy = architecture_.running(id); copy != id) return embedding(copy, indices, rows);
    const std::vector<ParameterId>& parameters = architecture_.module(id).parameters;
    const std::int64_t width = architecture_.parameter(parameters.front()).shape.back();
    const DType type = type_of(parameters.front());
    const Tensor result = make(rows * width, type);
    const std::string_view name = local_name(architecture_.module(id));
    Operator& op =
        indices ? run(name, {*indices}, {result}, {*indices}, parameters) : run(name, {}, {result}, {}, parameters);
    op.forward.push_back(memory_kernel(type, real(2 * result.bytes())));
    if (!trains(parameters)) return result;
    // The gradient is dense: zero the table, sort the indices, add the rows.
    const std::int64_t table = numel_of(architecture_, parameters) * size_of(type);
    op.weight_backward.push_back(memory_kernel(type, real(table)));
    op.weight_backward.push_back(memory_kernel(type, real(3 * result.bytes())));
    constexpr std::int64_t sort_buffers = 4;  // keys and positions, in and out, int64
    op.backward_scratch = sort_buffers * rows * 8;
    return result;
  });
}

Tensor GraphBuilder::activation_function(const Tensor& input) {
  switch (dims().activation) {
    case Activation::silu:
      return elementwise("silu", {input}, input.numel, input.type, {input});
    case Activation::gelu:
    case Activation::gelu_tanh:
      return elementwise("gelu", {input}, input.numel, input.type, {input});
    case Activation::relu:
      return saving_result("relu", input, input.type);
    case Activation::gelu_new:
      if (options_.implementation != Implementation::megatron) break;
      return elementwise("bias_gelu", {input}, input.numel, input.type, {input});
  }
  return gelu_new(input);
}

// 0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3))), composed of Python operators: four tensors are kept.
Tensor GraphBuilder::gelu_new(const Tensor& x) {
  const auto chain = [&](std::string_view name, const Tensor& previous) {
    const Tensor next = elementwise(name, {previous}, previous.numel, previous.type);
    drop(previous);
    return next;
  };
  const Tensor half = elementwise("half", {x}, x.numel, x.type);
  const Tensor base = autocasts() ? cast(x, DType::f32) : x;  // pow is on autocast's fp32 list
  const Tensor cube = elementwise("pow", {base}, base.numel, base.type, {base});
  drop_unless(base, x);
  const Tensor scaled_cube = chain("scale", cube);
  const Tensor sum = add("add", x, scaled_cube);
  drop(scaled_cube);
  const Tensor argument = chain("scale", sum);
  const Tensor tanh = saving_result("tanh", argument, argument.type);
  drop(argument);
  const Tensor one_plus = chain("one_plus", tanh);
  const Tensor result = multiply("product", half, one_plus);
  drop(half);
  drop(one_plus);
  return result;
}

}  // namespace shardsim::graph
