// The vocabulary in which a module's forward() is written down: tensors, operators, hooks and dropped names.
// Internal to model/graph_*.cpp; users of a graph include operators.hpp.
#pragma once

#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "model/architecture.hpp"
#include "model/operators.hpp"

namespace shardsim::graph {

/// What a Python name is bound to. A view has a value of its own (its gradient is separate memory) but no bytes:
/// saving it keeps `storage`. A view of a whole tensor (transpose, reshape) is the same Tensor.
struct Tensor {
  ValueId id;
  ValueId storage;
  std::int64_t numel = 0;
  DType type = DType::bf16;

  std::int64_t bytes() const { return numel * size_of(type); }
  bool operator==(const Tensor& other) const { return id == other.id; }
};
using Tensors = std::initializer_list<Tensor>;

/// The type that arithmetic on both operands yields.
constexpr DType promoted(DType a, DType b) { return a == DType::f32 || b == DType::f32 ? DType::f32 : a; }

Kernel memory_kernel(DType type, double bytes);
/// Of one element's cast to fp8: two readings of 16 bits, for the largest magnitude and for the cast, and one writing.
constexpr double fp8_cast_bytes = 2 + 2 + 1;
/// [m, k] x [k, n], `batch` times.
Kernel matmul_kernel(DType type, std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t batch = 1);

/// Walks a module's children in the order in which forward() calls them.
class Children {
 public:
  Children(const Architecture& architecture, ModuleId parent)
      : architecture_(architecture), parent_(architecture.module(parent)) {}
  /// True where the next child is of this kind.
  bool next_is(ModuleKind kind) const {
    return next_ < parent_.children.size() && architecture_.module(parent_.children[next_]).kind == kind;
  }
  /// The next child, if it is of this kind; else an invalid id.
  ModuleId take(ModuleKind kind) { return next_is(kind) ? parent_.children[next_++] : ModuleId(); }
  /// The next child, which must be of this kind.
  ModuleId need(ModuleKind kind);

 private:
  const Architecture& architecture_;
  const Module& parent_;
  std::size_t next_ = 0;
};

class GraphBuilder {
 public:
  GraphBuilder(const Architecture& architecture, const GraphOptions& options);

  const Architecture& architecture() const { return architecture_; }
  const Dimensions& dims() const { return architecture_.dims; }
  const GraphOptions& options() const { return options_; }
  Graph take() { return std::move(graph_); }

  std::int64_t tokens() const { return tokens_; }
  /// Of them, those that are no virtual ones.
  std::int64_t real_tokens() const { return tokens_ - options_.micro_batch * options_.virtual_tokens; }
  /// Of matrix products' results.
  DType compute() const { return compute_; }
  /// Of the embedding's result, and so of the residual stream.
  DType residual() const { return residual_; }
  bool autocasts() const { return options_.precision == Precision::amp_bf16 || options_.autocast; }
  /// In which a parameter is stored.
  DType type_of(ParameterId parameter) const;
  /// Triton kernels in the place of transformers' norms.
  bool patched_norms() const {
    return options_.implementation == Implementation::liger || options_.implementation == Implementation::foak;
  }
  /// True where torchao's Float8Linear stands in the place of nn.Linear.
  bool computes_in_fp8(DType input, std::int64_t in, std::int64_t out) const;
  bool fused_norms() const { return options_.implementation != Implementation::hf; }

  // Steps.

  /// Runs `body` as the forward() of a module, between its hooks.
  template <class Body>
  auto call(ModuleId module, Body&& body) {
    const ModuleId caller = std::exchange(module_, module);
    step(Step::Kind::enter, module.index());
    auto result = body();
    step(Step::Kind::leave, module.index());
    module_ = caller;
    return result;
  }
  /// The Python name of a tensor goes. The storage under views goes with the last of all its names.
  void drop(const Tensor& tensor);
  /// `drop`, unless `tensor` is only another name for `kept`.
  void drop_unless(const Tensor& tensor, const Tensor& kept) {
    if (!(tensor == kept)) drop(tensor);
  }

  // Values and operators.

  Tensor make(std::int64_t numel, DType type, bool needs_gradient = true);
  /// A part of `base`.
  Tensor view(const Tensor& base, std::int64_t numel);
  Value& value(const Tensor& tensor) { return graph_.values[tensor.id.index()]; }
  /// Appends an operator and the step that runs it. The reference holds until the next one is appended. It takes part
  /// in backward where an input needs a gradient or one of the parameters is trained; else it saves nothing.
  Operator& run(std::string_view name, Tensors inputs, Tensors outputs, Tensors saved = {},
                const std::vector<ParameterId>& parameters = {});

  /// A kernel that reads `inputs` and writes `numel` elements; its backward reads the gradient and what was saved.
  Tensor elementwise(std::string_view name, Tensors inputs, std::int64_t numel, DType type, Tensors saved = {});
  /// Likewise where backward needs the result (softmax, tanh, relu).
  Tensor saving_result(std::string_view name, const Tensor& input, DType type);
  /// The operator appended last.
  Operator& last() { return graph_.operators.back(); }
  /// `x.to(type)`: nothing new where the type is right already.
  Tensor cast(const Tensor& input, DType type);
  /// What autocast hands to a matrix product.
  Tensor lowered(const Tensor& input) { return autocasts() ? cast(input, compute_) : input; }
  Tensor multiply(std::string_view name, const Tensor& a, const Tensor& b);
  Tensor add(std::string_view name, const Tensor& a, const Tensor& b);
  /// Native dropout keeps its mask of one byte an element; p = 0 does nothing.
  Tensor dropout(const Tensor& input, double p);
  /// Views of `base`, `parts` elements of each row; backward concatenates their gradients.
  std::vector<Tensor> split(const Tensor& base, std::initializer_list<std::int64_t> parts);
  /// `x[a:b]`, `numel` elements of it; its backward fills a tensor of zeros as large as `base`.
  Tensor slice(const Tensor& base, std::int64_t numel);
  /// Batched product [m, k] x [k, n] of two activations.
  Tensor matmul(std::string_view name, const Tensor& a, const Tensor& b, std::int64_t m, std::int64_t n, std::int64_t k,
                std::int64_t batch);

  // Modules.

  Tensor linear(ModuleId module, const Tensor& input);
  /// One projection of all experts of a layer over evenly dispatched rows.
  Tensor grouped_linear(const std::vector<ModuleId>& experts, const Tensor& input);
  Tensor norm(ModuleId module, const Tensor& input);
  /// Rows of the module's table for `rows` indices; absent indices are those of a prompt, which nobody keeps.
  Tensor embedding(ModuleId module, const std::optional<Tensor>& indices, std::int64_t rows);
  /// The embedded tokens of each sequence behind its virtual ones.
  Tensor prepend_prompt(ModuleId prompt, const Tensor& embedded);
  /// A bottleneck adapter: a projection down, SiLU and a projection up, added to what it reads.
  Tensor bottleneck(ModuleId layer, const Tensor& states);
  Tensor activation(ModuleId module, const Tensor& input) {
    return call(module, [&] { return activation_function(input); });
  }
  Tensor activation_function(const Tensor& input);
  /// A kernel's backward writes the gradient of its input over the input itself, which then lives until the operator
  /// that wrote it has read the gradient.
  void gradient_in_place(const Tensor& input);

  /// Autocast's cached copies of the weights go when the root's forward ends.
  void drop_cast_weights();

 private:
  void step(Step::Kind kind, std::size_t index) { graph_.forward.push_back({kind, static_cast<std::uint32_t>(index)}); }
  bool needs_gradient(const Tensor& tensor) const { return graph_.value(tensor.id).needs_gradient; }
  bool trains(const std::vector<ParameterId>& parameters) const;
  /// Likewise of one that is no bias.
  bool trains_weight(const std::vector<ParameterId>& parameters) const;
  Tensor cast_weight(const std::vector<ParameterId>& parameters);
  /// The product of a module without children, or of one such module of each expert.
  Tensor product(const std::vector<ModuleId>& modules, const Tensor& input);
  /// `product` between the module's hooks; experts' hooks have fired where each expert ran.
  Tensor run_linear(const std::vector<ModuleId>& modules, const Tensor& input);
  /// The same of modules that PEFT has wrapped.
  Tensor low_rank(const std::vector<ModuleId>& wrappers, const Tensor& input);
  /// The same in one function, as FOAK has it.
  Tensor fused_low_rank(ModuleId wrapper, const Tensor& x);
  /// The parts of such modules: of one, or of each expert.
  struct DoraModules {
    std::vector<ModuleId> base, a, b, magnitude;
  };
  /// What DoRA adds to the frozen result.
  Tensor dora(const std::vector<ModuleId>& wrappers, const DoraModules& modules, const Tensor& x,
              const Tensor& base_result, bool dropped);
  Tensor dropped_product(const Module& base, const std::optional<Tensor>& weight, const Tensor& x, DType type,
                         std::int64_t groups);
  void count_dequantization(Operator& op, const Parameter& weight, std::int64_t groups, const Tensor& x,
                            const Tensor& y);
  Tensor projection(std::string_view name, const Tensor& input, std::int64_t in, std::int64_t out,
                    const std::vector<ParameterId>& parameters, std::int64_t groups);
  Tensor rms_norm(const std::vector<ParameterId>& weight, const Tensor& input, std::int64_t rows);
  Tensor scale_by_weight(const std::vector<ParameterId>& weight, const Tensor& normalized, const Tensor& input);
  Tensor scale_by_weight_plus_one(const std::vector<ParameterId>& weight, const Tensor& normalized, DType type);
  Tensor fused_norm(const std::vector<ParameterId>& parameters, const Tensor& input, std::int64_t rows);
  Tensor gelu_new(const Tensor& input);
  void count_quantization(Operator& op, std::int64_t x, std::int64_t w, std::int64_t y);

  const Architecture& architecture_;
  GraphOptions options_;
  std::int64_t tokens_;
  DType compute_;
  DType weights_;  ///< of parameters that have no type of their own
  DType residual_;
  ModuleId module_{0};  ///< the running one; what runs outside of every forward() counts as the root's
  Graph graph_;
  std::vector<std::uint16_t> names_;  ///< by ValueId: Python names of a storage, its views included
  std::vector<Tensor> cast_weights_;
};

}  // namespace shardsim::graph
