// The feed-forward branch: gated or plain, one for all tokens or a mixture of experts.
#include "model/core/check.hpp"
#include "model/graph_block.hpp"

namespace shardsim::graph {

namespace {

double real(std::int64_t count) { return static_cast<double>(count); }

Tensor multiply_up(GraphBuilder& b, const Tensor& active, const Tensor& up) {
  const Tensor product = b.multiply("gate_mul", active, up);
  b.drop(active);
  b.drop(up);
  return product;
}

/// FOAK's gate is part of its fused adapters (fms_acceleration_foak/models/llama.py, the "mlp" rule).
bool gates_in_one_kernel(const GraphBuilder& b, ModuleId projection) {
  const Implementation implementation = b.options().implementation;
  if (implementation == Implementation::foak) return !b.architecture().module(projection).children.empty();
  return implementation == Implementation::liger || implementation == Implementation::megatron;
}

/// Liger's, FOAK's and Megatron's kernels keep gate and up alone; all but Megatron's write their gradients over them.
Tensor fused_gate(GraphBuilder& b, const Tensor& gate, const Tensor& up) {
  const Tensor product = b.make(gate.numel, gate.type);
  Operator& op = b.run("gate_mul", {gate, up}, {product}, {gate, up});
  op.forward.push_back(memory_kernel(gate.type, real(3 * product.bytes())));
  op.backward.push_back(memory_kernel(gate.type, real(5 * product.bytes())));
  for (const Tensor& operand : {gate, up}) {
    const bool in_place = b.patched_norms() && operand.id == operand.storage;
    if (in_place) b.gradient_in_place(operand);
    b.drop(operand);
  }
  return product;
}

/// down(act(gate(x)) * up(x))
Tensor gated_mlp(GraphBuilder& b, Children& children, const Tensor& x) {
  const ModuleId gate_projection = children.need(ModuleKind::linear);
  const bool fused_kernel = gates_in_one_kernel(b, gate_projection);
  const Tensor gate = b.linear(gate_projection, x);
  const ModuleId activation = children.need(ModuleKind::activation);
  const Tensor active = fused_kernel ? gate : b.activation(activation, gate);
  b.drop_unless(gate, active);
  const Tensor up = b.linear(children.need(ModuleKind::linear), x);
  const Tensor product = fused_kernel ? fused_gate(b, gate, up) : multiply_up(b, active, up);
  const Tensor result = b.linear(children.need(ModuleKind::linear), product);
  b.drop(product);
  return result;
}

/// gate and up come out of one projection (phi3).
Tensor fused_projection_mlp(GraphBuilder& b, Children& children, const Tensor& x) {
  const ModuleId projection = children.need(ModuleKind::linear);
  const Tensor both = b.linear(projection, x);
  const std::int64_t ffn = b.dims().ffn;
  const std::vector<Tensor> halves = b.split(both, {ffn, ffn});
  b.drop(both);
  const ModuleId activation = children.need(ModuleKind::activation);
  const bool fused_kernel = gates_in_one_kernel(b, projection);
  const Tensor product = fused_kernel ? fused_gate(b, halves[0], halves[1]) : [&] {
    const Tensor active = b.activation(activation, halves[0]);
    const Tensor result = multiply_up(b, active, halves[1]);
    b.drop(halves[0]);
    return result;
  }();
  const Tensor result = b.linear(children.need(ModuleKind::linear), product);
  b.drop(product);
  return result;
}

/// down(act(up(x)))
Tensor plain_mlp(GraphBuilder& b, Children& children, const Tensor& x) {
  const Tensor up = b.linear(children.need(ModuleKind::linear), x);
  const Tensor active = b.activation(children.need(ModuleKind::activation), up);
  b.drop(up);
  const Tensor result = b.linear(children.need(ModuleKind::linear), active);
  b.drop(active);
  return result;
}

/// Which experts each token visits, and how much each counts.
struct Routing {
  Tensor weights, indices;
};

Routing route(GraphBuilder& b, ModuleId router, const Tensor& x) {
  const Dimensions& d = b.dims();
  const bool scores_by_sigmoid = d.family == Family::deepseek_v3;
  // deepseek_v3 computes its router in fp32 throughout, and weighs and sums the experts' results in fp32 as well; the
  // others take fp32 for the softmax alone.
  const Tensor input = scores_by_sigmoid ? b.cast(x, DType::f32) : x;
  const Tensor logits = b.linear(router, input);
  b.drop_unless(input, x);
  const Tensor wide = scores_by_sigmoid ? logits : b.cast(logits, DType::f32);
  const Tensor scores = b.saving_result(scores_by_sigmoid ? "sigmoid" : "softmax", wide, wide.type);
  b.drop_unless(wide, logits);
  const std::int64_t visits = b.tokens() * d.experts->per_token;
  const Tensor chosen = b.make(visits, scores.type);
  Tensor indices = b.make(2 * visits, DType::f32, false);  // int64
  Operator& topk = b.run("topk", {scores}, {chosen, indices}, {indices});
  topk.forward.push_back(memory_kernel(DType::f32, real(scores.bytes() + chosen.bytes() + indices.bytes())));
  topk.backward.push_back(memory_kernel(DType::f32, real(scores.bytes() + chosen.bytes() + indices.bytes())));
  const Tensor shares = b.elementwise("normalize", {chosen}, visits, chosen.type, {chosen});
  const Tensor weights = scores_by_sigmoid ? shares : b.cast(shares, x.type);
  b.drop_unless(shares, weights);
  for (const Tensor& gone : {logits, scores, chosen}) b.drop(gone);
  return {weights, indices};
}

/// The n-th projection of each expert; their hooks fire where each expert runs.
using Projections = std::vector<std::vector<ModuleId>>;

Projections visit_experts(GraphBuilder& b, Children& children) {
  const Architecture& architecture = b.architecture();
  Projections projections;
  for (std::int64_t i = 0; i < b.dims().experts->count; ++i) {
    const ModuleId expert = children.need(ModuleKind::container);
    b.call(expert, [&] {
      std::size_t n = 0;
      for (const ModuleId part : architecture.module(expert).children) {
        b.call(part, [&] {
          for (const ModuleId inner : architecture.module(part).children) b.call(inner, [] { return 0; });
          return 0;
        });
        if (architecture.module(part).kind != ModuleKind::linear) continue;
        if (projections.size() <= n) projections.emplace_back();
        projections[n++].push_back(part);
      }
      return 0;
    });
  }
  SHARDSIM_CHECK(projections.size() == 3, "an expert is a gated mlp");
  return projections;
}

Tensor run_experts(GraphBuilder& b, const Projections& projections, const Tensor& rows) {
  const Tensor gate = b.grouped_linear(projections[0], rows);
  const Tensor up = b.grouped_linear(projections[1], rows);
  const Tensor product = gates_in_one_kernel(b, projections[0].front()) ? fused_gate(b, gate, up) : [&] {
    const Tensor active = b.activation_function(gate);
    b.drop(gate);
    return multiply_up(b, active, up);
  }();
  const Tensor result = b.grouped_linear(projections[2], product);
  b.drop(product);
  return result;
}

}  // namespace

Branch mlp(GraphBuilder& b, Children& children, const Tensor& x) {
  const Dimensions& d = b.dims();
  if (!d.gated_mlp) return {plain_mlp(b, children, x), std::nullopt};
  return {d.fused_gate_up ? fused_projection_mlp(b, children, x) : gated_mlp(b, children, x), std::nullopt};
}

// Tokens are assumed to spread evenly over the experts; rows of all experts are kept in one tensor.
Branch experts(GraphBuilder& b, ModuleId module, const Tensor& x) {
  return b.call(module, [&] {
    Children children(b.architecture(), module);
    const Routing routing = route(b, children.need(ModuleKind::linear), x);
    const Projections projections = visit_experts(b, children);
    const std::int64_t numel = x.numel * b.dims().experts->per_token;
    const Tensor rows = b.elementwise("dispatch", {x}, numel, x.type, {routing.indices});
    const Tensor computed = run_experts(b, projections, rows);
    b.drop(rows);
    const Tensor weighted = b.multiply("weight", computed, routing.weights);
    b.drop(computed);
    // index_add keeps its source, if only for the shape.
    const Tensor combined = b.elementwise("combine", {weighted}, x.numel, weighted.type, {weighted, routing.indices});
    b.drop(weighted);
    Tensor sum = b.cast(combined, x.type);
    b.drop_unless(combined, sum);
    b.drop(routing.weights);
    b.drop(routing.indices);
    if (children.next_is(ModuleKind::container)) {
      const ModuleId shared = children.need(ModuleKind::container);
      const Tensor routed = sum;
      const Tensor own = b.call(shared, [&] {
        Children parts(b.architecture(), shared);
        return mlp(b, parts, x).output;
      });
      sum = b.add("add", routed, own);
      b.drop(routed);
      b.drop(own);
    }
    return Branch{sum, std::nullopt};
  });
}

}  // namespace shardsim::graph
