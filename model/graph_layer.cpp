// One decoder layer: branches, norms and residual sums, with each name let go where the framework's forward() lets go.
#include "model/graph_block.hpp"

namespace shardsim::graph {

namespace {

/// Applies the residual dropout, as a module of the layer or as a function, unless the branch did.
Tensor after_branch(GraphBuilder& b, Children& children, const Branch& branch) {
  const auto apply = [&] { return branch.dropout_done ? branch.output : b.dropout(branch.output, b.dims().dropout); };
  const ModuleId dropout = children.take(ModuleKind::dropout);
  const Tensor result = dropout.valid() ? b.call(dropout, apply) : apply();
  b.drop_unless(branch.output, result);
  return result;
}

/// What a bottleneck adapter makes of a branch, where there is one.
Tensor adapted(GraphBuilder& b, Children& children, const Tensor& branch) {
  const ModuleId adapter = children.take(ModuleKind::adapter);
  if (!adapter.valid()) return branch;
  const Tensor result = b.bottleneck(adapter, branch);
  b.drop(branch);
  return result;
}

Tensor sandwiched(GraphBuilder& b, Children& children, const Tensor& branch) {
  if (!b.dims().sandwich_norms) return branch;
  const Tensor normed = b.norm(children.need(ModuleKind::norm), branch);
  b.drop(branch);
  return normed;
}

Branch feed_forward(GraphBuilder& b, Children& children, std::int64_t layer, const Tensor& x) {
  const Dimensions& d = b.dims();
  if (!children.next_is(ModuleKind::container)) return mlp(b, children, x);
  const ModuleId module = children.need(ModuleKind::container);
  if (!d.layer_is_moe.empty() && d.layer_is_moe[static_cast<std::size_t>(layer)]) return experts(b, module, x);
  return b.call(module, [&] {
    Children parts(b.architecture(), module);
    Branch branch = mlp(b, parts, x);
    if (const ModuleId dropout = parts.take(ModuleKind::dropout); dropout.valid()) {
      const Tensor raw = branch.output;
      branch.output = b.call(dropout, [&] { return b.dropout(raw, d.dropout); });
      b.drop_unless(raw, branch.output);
      branch.dropout_done = true;
    }
    return branch;
  });
}

/// x + attention(norm(x)), then the same with the mlp.
Tensor sequential(GraphBuilder& b, Children& children, std::int64_t layer, const Tensor& x,
                  const SharedTables& tables) {
  const Tensor normed = b.norm(children.need(ModuleKind::norm), x);
  const Branch attended = attention(b, children.need(ModuleKind::container), layer, normed, tables);
  b.drop(normed);
  const Tensor first = adapted(b, children, sandwiched(b, children, after_branch(b, children, attended)));
  const Tensor middle = b.add("residual", x, first);
  b.drop(first);
  const Tensor normed_again = b.norm(children.need(ModuleKind::norm), middle);
  const Branch fed = feed_forward(b, children, layer, normed_again);
  b.drop(normed_again);
  const Tensor second = adapted(b, children, sandwiched(b, children, after_branch(b, children, fed)));
  const Tensor result = b.add("residual", middle, second);
  b.drop(second);
  if (attended.weights) b.drop(*attended.weights);
  b.drop(middle);
  return result;
}

/// norm(x + attention(x)), then the same with the mlp (opt-350m).
Tensor post_norm(GraphBuilder& b, Children& children, std::int64_t layer, const Tensor& x, const SharedTables& tables) {
  const auto summed = [&](const Tensor& residual, const Branch& branch) {
    const Tensor output = after_branch(b, children, branch);
    const Tensor sum = b.add("residual", residual, output);
    b.drop(output);
    const Tensor normed = b.norm(children.need(ModuleKind::norm), sum);
    b.drop(sum);
    return normed;
  };
  const Branch attended = attention(b, children.need(ModuleKind::container), layer, x, tables);
  const Tensor middle = summed(x, attended);
  const Tensor result = summed(middle, feed_forward(b, children, layer, middle));
  if (attended.weights) b.drop(*attended.weights);
  b.drop(middle);
  return result;
}

/// x + attention(norm(x)) + mlp(norm'(x)); the norms are one in falcon-7b, and run before both or before each branch.
Tensor parallel(GraphBuilder& b, Children& children, std::int64_t layer, const Tensor& x, const SharedTables& tables) {
  const Tensor normed = b.norm(children.need(ModuleKind::norm), x);
  const auto second_norm = [&](const Tensor& otherwise) {
    const ModuleId module = children.take(ModuleKind::norm);
    return module.valid() ? b.norm(module, x) : otherwise;
  };
  Tensor mlp_input = second_norm(normed);
  const bool shared = mlp_input == normed && !b.dims().two_norms_in_parallel;
  const Branch attended = attention(b, children.need(ModuleKind::container), layer, normed, tables);
  const Tensor first = after_branch(b, children, attended);
  if (!shared) {
    mlp_input = second_norm(mlp_input);
    b.drop(normed);
  }
  const Tensor second = after_branch(b, children, feed_forward(b, children, layer, mlp_input));
  const Tensor branches = b.add("residual", second, first);
  const Tensor result = b.add("residual", branches, x);
  for (const Tensor& gone : {mlp_input, first, second, branches}) b.drop(gone);
  if (attended.weights) b.drop(*attended.weights);
  return result;
}

}  // namespace

Tensor decoder_layer(GraphBuilder& b, ModuleId module, const Tensor& x, const SharedTables& tables) {
  return b.call(module, [&] {
    Children children(b.architecture(), module);
    const std::int64_t layer = b.architecture().module(module).layer;
    if (b.dims().parallel_residual) return parallel(b, children, layer, x, tables);
    if (b.dims().post_norm) return post_norm(b, children, layer, x, tables);
    return sequential(b, children, layer, x, tables);
  });
}

}  // namespace shardsim::graph
