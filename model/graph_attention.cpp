// An attention module: projections, norms over heads, rotation, attention, output projection.
#include "model/core/check.hpp"
#include "model/graph_block.hpp"

namespace shardsim::graph {

namespace {

struct States {
  Tensor q, k, v;
};

/// Separate projections, each perhaps followed by a norm over heads, in the order in which the children stand.
States project_apart(GraphBuilder& b, Children& children, const Tensor& x) {
  std::vector<Tensor> states;
  std::size_t normed = 0;
  while (states.size() < 3 || children.next_is(ModuleKind::norm)) {
    if (!children.next_is(ModuleKind::norm)) {
      states.push_back(b.linear(children.need(ModuleKind::linear), x));
      continue;
    }
    SHARDSIM_CHECK(normed < states.size(), "a norm over heads follows its projection");
    const Tensor raw = states[normed];
    states[normed] = b.norm(children.need(ModuleKind::norm), raw);
    b.drop(raw);
    ++normed;
  }
  return {states[0], states[1], states[2]};
}

/// qkv[..., [-2], :] copies keys and values out, and autograd keeps the index. Falcon's new architecture repeats them
/// for every query head at once, which the queries are copied beside.
States index_falcon(GraphBuilder& b, const States& parts) {
  const bool repeats = falcon_repeats_heads(b.dims());
  const auto indexed = [&](const Tensor& part) {
    const Tensor index = b.make(2, DType::f32, false);  // int64
    b.run("index", {}, {index});
    const Tensor copy = b.elementwise("index", {part, index}, part.numel, part.type, {index});
    b.drop(index);
    b.drop(part);
    if (!repeats) return copy;
    const Tensor repeated = b.elementwise("repeat_kv", {copy}, parts.q.numel, copy.type);
    b.drop(copy);
    return repeated;
  };
  States states = parts;
  states.k = indexed(parts.k);
  states.v = indexed(parts.v);
  if (repeats) {
    states.q = b.elementwise("flatten", {parts.q}, parts.q.numel, parts.q.type);
    b.drop(parts.q);
  }
  return states;
}

States project_together(GraphBuilder& b, Children& children, const Tensor& x) {
  const Dimensions& d = b.dims();
  const Tensor all = b.linear(children.need(ModuleKind::linear), x);
  const std::vector<Tensor> parts = b.split(all, {d.q(), d.kv(), d.kv()});
  b.drop(all);
  if (d.family == Family::falcon && d.kv_heads < d.heads) return index_falcon(b, {parts[0], parts[1], parts[2]});
  return {parts[0], parts[1], parts[2]};
}

Tensor project_latent_queries(GraphBuilder& b, Children& children, const Tensor& x) {
  const Tensor first = b.linear(children.need(ModuleKind::linear), x);
  if (b.dims().latent->q_rank == 0) return first;
  const Tensor normed = b.norm(children.need(ModuleKind::norm), first);
  b.drop(first);
  const Tensor q = b.linear(children.need(ModuleKind::linear), normed);
  b.drop(normed);
  return q;
}

/// Multi-head latent attention: keys and values come out of one small state, the rotated part is shared by all heads.
States project_latent(GraphBuilder& b, Children& children, const Tensor& x, const SharedTables& tables) {
  const Dimensions& d = b.dims();
  const LatentAttention& latent = *d.latent;
  const Tensor q = project_latent_queries(b, children, x);
  const std::vector<Tensor> q_parts = b.split(q, {d.heads * latent.nope_dim, d.heads * latent.rope_dim});
  const Tensor compressed = b.linear(children.need(ModuleKind::linear), x);
  const std::vector<Tensor> state = b.split(compressed, {latent.kv_rank, latent.rope_dim});
  const Tensor normed = b.norm(children.need(ModuleKind::norm), state[0]);
  const Tensor kv = b.linear(children.need(ModuleKind::linear), normed);
  b.drop(normed);
  const std::vector<Tensor> kv_parts = b.split(kv, {d.heads * latent.nope_dim, d.heads * latent.value_dim});
  const Tensor q_rotated = rotate(b, q_parts[1], tables);
  const Tensor k_rotated = rotate(b, state[1], tables);
  const std::int64_t width = b.tokens() * d.heads * (latent.nope_dim + latent.rope_dim);
  const Tensor query = b.elementwise("cat", {q_parts[0], q_rotated}, width, promoted(q_parts[0].type, q_rotated.type));
  const Tensor key = b.elementwise("cat", {kv_parts[0], k_rotated}, width, promoted(kv.type, k_rotated.type));
  for (const Tensor& gone :
       {q_parts[0], q_parts[1], state[0], state[1], kv_parts[0], q_rotated, k_rotated, q, compressed, kv}) {
    b.drop(gone);
  }
  return {query, key, kv_parts[1]};
}

void rotate_states(GraphBuilder& b, States& states, const SharedTables& tables) {
  const States raw = states;
  states.q = rotate(b, raw.q, tables);
  states.k = rotate(b, raw.k, tables);
  b.drop(raw.q);  // the caller's names are bound anew when both are done
  b.drop(raw.k);
}

States project(GraphBuilder& b, Children& children, const Tensor& x, const SharedTables& tables) {
  const Dimensions& d = b.dims();
  if (d.latent) return project_latent(b, children, x, tables);
  States states = d.fused_qkv ? project_together(b, children, x) : project_apart(b, children, x);
  if (d.rotary && tables.cos) rotate_states(b, states, tables);
  return states;
}

}  // namespace

Branch attention(GraphBuilder& b, ModuleId module, std::int64_t layer, const Tensor& x, const SharedTables& tables) {
  return b.call(module, [&] {
    Children children(b.architecture(), module);
    const States states = project(b, children, x, tables);
    Branch branch = attend(b, states.q, states.k, states.v, layer, tables);
    // Where the attention's own dropout is a module, it fires its hooks; the mask is drawn inside attend().
    if (const ModuleId dropout = children.take(ModuleKind::dropout); dropout.valid()) b.call(dropout, [] { return 0; });
    const Tensor context = branch.output;
    branch.output = b.linear(children.need(ModuleKind::linear), context);
    b.drop(context);
    if (const ModuleId dropout = children.take(ModuleKind::dropout); dropout.valid()) {
      const Tensor raw = branch.output;
      branch.output = b.call(dropout, [&] { return b.dropout(raw, b.dims().dropout); });
      b.drop_unless(raw, branch.output);
      branch.dropout_done = true;
    }
    for (const Tensor& state : {states.q, states.k, states.v}) b.drop(state);
    return branch;
  });
}

}  // namespace shardsim::graph
