// The model around its layers: embeddings, tables, head and loss; and what is counted over a whole graph.
#include "model/operators.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "model/core/check.hpp"
#include "model/core/error.hpp"
#include "model/graph_block.hpp"
#include "model/graph_compile.hpp"

namespace shardsim {

namespace graph {
namespace {

/// int64, one a token; stands as two fp32 elements.
Tensor token_ids(GraphBuilder& b, std::int64_t tokens) { return b.make(2 * tokens, DType::f32, false); }

Tensor replace(GraphBuilder& b, const Tensor& old, const Tensor& next) {
  b.drop_unless(old, next);
  return next;
}

/// Prompt tuning's table of virtual tokens, beside the model itself.
ModuleId prompt_module(const Architecture& architecture) {
  for (const ModuleId id : architecture.module(ModuleId(0)).children) {
    if (architecture.module(id).kind == ModuleKind::embedding) return id;
  }
  return {};
}

/// cos and sin for every position; computed in fp32, without gradient.
void make_rotary_tables(GraphBuilder& b, ModuleId module, SharedTables& tables) {
  b.call(module, [&] {
    if (tables.cos || !b.dims().rotary) return 0;
    const std::int64_t numel = b.options().seq_len * b.dims().rotary_dim;
    tables.cos = b.make(numel, b.residual(), false);
    tables.sin = b.make(numel, b.residual(), false);
    Operator& op = b.run("rotary", {}, {*tables.cos, *tables.sin});
    constexpr int kernels = 8;  // angles, cat, and for each table the function, its scaling and its cast
    const double pass = static_cast<double>(2 * numel * size_of(DType::f32));
    for (int i = 0; i < kernels; ++i) op.forward.push_back(memory_kernel(DType::f32, pass));
    op.scratch = 2 * numel * size_of(DType::f32);
    return 0;
  });
}

/// Additive under eager attention, boolean under SDPA; absent where all layers do without.
void make_mask(GraphBuilder& b, SharedTables& tables) {
  bool any = false, eager = false;
  for (std::int64_t layer = 0; layer < b.dims().layers; ++layer) {
    const AttentionPath path = attention_path(b.dims(), b.options(), layer);
    any = any || path == AttentionPath::masked || path == AttentionPath::eager;
    eager = eager || path == AttentionPath::eager;
  }
  if (!any) return;
  const std::int64_t numel = b.tokens() * b.options().seq_len;
  Tensor mask = b.make(eager ? numel : 0, b.residual(), false);
  mask.numel = numel;
  if (!eager) b.value(mask).bytes = numel;
  Operator& op = b.run("causal_mask", {}, {mask});
  op.forward.push_back(memory_kernel(b.residual(), static_cast<double>(numel + b.value(mask).bytes)));
  op.scratch = eager ? numel : 0;
  tables.mask = mask;
}

/// Token embedding, positions, norm, projection and dropout, as far as the model has them.
/// The embedding's result keeps its name until the model returns.
struct Embedded {
  std::vector<Tensor> named;
  Tensor states;
};

Embedded embed(GraphBuilder& b, Children& children, const Tensor& ids) {
  const Dimensions& d = b.dims();
  Tensor tokens = b.embedding(children.need(ModuleKind::embedding), ids, b.real_tokens());
  if (b.options().input_requires_gradient) b.value(tokens).needs_gradient = true;  // a hook on the token embedding
  if (const ModuleId prompt = prompt_module(b.architecture()); prompt.valid()) {
    tokens = replace(b, tokens, b.prepend_prompt(prompt, tokens));
  }
  Embedded result{{}, tokens};
  std::optional<Tensor> positions;
  if (children.next_is(ModuleKind::embedding)) {
    // opt counts positions by the attention mask, each sequence on its own; gpt2's serve all sequences.
    const std::int64_t rows = d.family == Family::opt ? b.tokens() : b.options().seq_len;
    const Tensor indices = b.make(2 * rows, DType::f32, false);  // int64
    b.run("positions", {}, {indices})
        .forward.push_back(memory_kernel(DType::f32, static_cast<double>(indices.bytes())));
    positions = b.embedding(children.need(ModuleKind::embedding), indices, rows);
    result.named.push_back(*positions);
    result.named.push_back(indices);
  }
  if (children.next_is(ModuleKind::linear)) {
    result.states = replace(b, tokens, b.linear(children.need(ModuleKind::linear), tokens));
  }
  result.named.push_back(result.states);
  const auto advance = [&](const Tensor& next) {
    const bool keeps_name = std::find(result.named.begin(), result.named.end(), result.states) != result.named.end();
    if (!keeps_name) b.drop_unless(result.states, next);
    result.states = next;
  };
  if (positions) advance(b.add("positions", result.states, *positions));
  if (d.embedding_scale) advance(b.elementwise("scale", {result.states}, result.states.numel, result.states.type));
  if (d.embedding_norm) advance(b.norm(children.need(ModuleKind::norm), result.states));
  if (const ModuleId dropout = children.take(ModuleKind::dropout); dropout.valid()) {
    advance(b.call(dropout, [&] { return b.dropout(result.states, d.dropout); }));
  }
  return result;
}

/// Everything from token ids to the head's input: the model below the root.
Tensor run_decoder(GraphBuilder& b, ModuleId module, const Tensor& ids) {
  return b.call(module, [&] {
    Children children(b.architecture(), module);
    const Embedded embedded = embed(b, children, ids);
    SharedTables tables;
    make_mask(b, tables);
    while (children.next_is(ModuleKind::rotary)) make_rotary_tables(b, children.take(ModuleKind::rotary), tables);
    // transformers counts positions once for all layers; gpt2 and opt have embedded them.
    const bool counts_positions =
        !b.dims().learned_positions && b.options().implementation != Implementation::torchtitan;
    const Tensor positions = b.make(counts_positions ? 2 * b.options().seq_len : 0, DType::f32, false);  // int64
    b.run("positions", {}, {positions});
    Tensor x = embedded.states;
    const auto advance = [&](const Tensor& next) {
      const bool keeps_name = std::find(embedded.named.begin(), embedded.named.end(), x) != embedded.named.end();
      if (!keeps_name) b.drop(x);
      x = next;
    };
    while (children.next_is(ModuleKind::container)) {
      advance(decoder_layer(b, children.take(ModuleKind::container), x, tables));
    }
    if (children.next_is(ModuleKind::norm)) advance(b.norm(children.take(ModuleKind::norm), x));
    if (children.next_is(ModuleKind::linear)) advance(b.linear(children.take(ModuleKind::linear), x));
    for (const Tensor& named : embedded.named) {
      if (!(named == x)) b.drop(named);
    }
    b.drop(positions);
    for (const std::optional<Tensor>& table : {tables.cos, tables.sin, tables.mask}) {
      if (table) b.drop(*table);
    }
    return x;
  });
}

Tensor project_to_logits(GraphBuilder& b, ModuleId head, const Tensor& x) {
  Tensor logits = b.linear(head, x);
  b.value(logits).is_logits = true;
  if (b.dims().final_softcap == 0) return logits;
  const auto next = [&](const Tensor& step) {
    b.value(step).is_logits = true;
    b.drop(logits);
    logits = step;
  };
  next(b.elementwise("divide", {logits}, logits.numel, logits.type));
  next(b.saving_result("tanh", logits, logits.type));
  next(b.elementwise("scale", {logits}, logits.numel, logits.type));
  return logits;
}

/// What transformers returns beside the loss.
Tensor returned_logits(GraphBuilder& b, ModuleId head, const Tensor& hidden) {
  const Tensor logits = project_to_logits(b, head, hidden);
  if (b.options().transformers != Transformers::v4_45) return logits;
  const Tensor wide = b.cast(logits, DType::f32);
  b.drop_unless(logits, wide);
  return wide;
}

/// What the root's forward() returns: logits, or the head's input where the loss applies the head itself.
struct RootResult {
  Tensor ids, labels;
  std::optional<Tensor> output, loss;
};

/// transformers computes the loss in the root's forward(), and Liger's patch keeps it there without logits;
/// torchtitan's trainer computes it afterwards, chunked without the root having run the head.
RootResult run_root(GraphBuilder& b, ModuleId head) {
  const ModuleId root(0);
  return b.call(root, [&] {
    RootResult result{token_ids(b, b.real_tokens()), token_ids(b, b.tokens()), {}, {}};
    b.run("input", {}, {result.ids, result.labels});
    Children children(b.architecture(), root);
    const Tensor hidden = run_decoder(b, children.need(ModuleKind::container), result.ids);
    switch (b.options().loss) {
      case LossKind::eager:
        result.output = returned_logits(b, head, hidden);
        result.loss = cross_entropy(b, *result.output, result.labels);
        break;
      case LossKind::plain:
        if (is_transformers(b.options().implementation)) {
          result.output = returned_logits(b, head, hidden);
          result.loss = kernel_cross_entropy(b, *result.output, result.labels);
        } else {
          result.output = project_to_logits(b, head, hidden);
        }
        break;
      case LossKind::chunked:
        result.output = hidden;
        break;
      case LossKind::fused:
        result.loss = fused_cross_entropy(b, head, hidden, result.labels);
        break;
    }
    if (!result.output || !(*result.output == hidden)) b.drop(hidden);
    b.drop_cast_weights();
    return result;
  });
}

/// accelerate hands out fp32 copies of what the model returns.
Tensor convert_outputs(GraphBuilder& b, const Tensor& logits) {
  if (logits.type == DType::f32) return logits;
  const Tensor copy = b.make(logits.numel, DType::f32, false);
  b.value(copy).is_logits = true;
  Operator& op = b.run("outputs_to_f32", {logits}, {copy});
  op.forward.push_back(memory_kernel(DType::f32, static_cast<double>(copy.bytes() + logits.bytes())));
  return copy;
}

void check_options(const Architecture& architecture, const GraphOptions& options) {
  const Dimensions& d = architecture.dims;
  if (options.micro_batch < 1 || options.seq_len < 1) {
    throw InputError("a micro-batch of " + std::to_string(options.micro_batch) + " sequences of " +
                         std::to_string(options.seq_len) + " tokens holds nothing",
                     "micro-batch, seq-len", "at least 1 each");
  }
  if (d.learned_positions && options.seq_len > d.max_positions) {
    throw InputError("a sequence of " + std::to_string(options.seq_len) +
                         " tokens is longer than the position table of " + architecture.name,
                     "seq-len", "at most " + std::to_string(d.max_positions));
  }
  if (options.loss == LossKind::chunked && options.seq_len % loss_chunks != 0) {
    throw InputError("the chunked loss splits each sequence into " + std::to_string(loss_chunks) +
                         " equal chunks, and " + std::to_string(options.seq_len) + " tokens do not divide so",
                     "seq-len", "a multiple of " + std::to_string(loss_chunks));
  }
}

}  // namespace
}  // namespace graph

Graph build_graph(const Architecture& architecture, const GraphOptions& options) {
  using namespace graph;
  check_options(architecture, options);
  GraphBuilder b(architecture, options);
  const ModuleId head = architecture.module(ModuleId(0)).children.back();
  RootResult result = run_root(b, head);
  if (options.loss == LossKind::plain && !result.loss)
    result.loss = kernel_cross_entropy(b, *result.output, result.labels);
  const bool from_root =
      options.loss == LossKind::eager || (options.loss == LossKind::plain && is_transformers(options.implementation));
  if (from_root && (b.autocasts() || options.converts_outputs)) {
    const Tensor logits = *result.output;
    result.output = convert_outputs(b, logits);
    b.drop_unless(logits, *result.output);
  }
  if (options.loss == LossKind::chunked) result.loss = chunked_cross_entropy(b, head, *result.output);
  const bool keeps = from_root && options.keeps_outputs;
  if (result.output && !keeps) b.drop(*result.output);
  for (const Tensor& batch : {result.ids, result.labels, *result.loss}) b.drop(batch);
  Graph graph = b.take();
  if (keeps) graph.kept.push_back(result.output->storage);
  if (options.compile) compile_layers(graph, architecture);
  return graph;
}

double model_flops_per_token(const Architecture& architecture, std::int64_t seq_len) {
  const Dimensions& d = architecture.dims;
  double in_products = 0;
  for (std::size_t i = 0; i < architecture.modules.size(); ++i) {
    const Module& module = architecture.modules[i];
    if (module.kind != ModuleKind::linear || !module.children.empty() || architecture.is_idle(ModuleId(i))) continue;
    const bool trained = architecture.parameter(module.parameters.front()).trainable;
    const double elements = static_cast<double>(module.in_features) * static_cast<double>(module.out_features);
    const bool routed = d.experts && module.name.find(".experts.") != std::string::npos;
    const double used = routed ? static_cast<double>(d.experts->per_token) / static_cast<double>(d.experts->count) : 1;
    in_products += elements * used * (trained ? 6 : 4);
  }
  const std::int64_t score_width = d.q();
  const std::int64_t value_width = d.latent ? d.heads * d.latent->value_dim : d.q();
  const double attended = static_cast<double>(d.layers) * static_cast<double>(score_width + value_width);
  return in_products + 6 * attended * static_cast<double>(seq_len);
}

std::int64_t saved_bytes_of_layer(const Graph& graph, const Architecture& architecture, std::int64_t layer) {
  std::vector<bool> counted(graph.values.size(), false), made_here(graph.values.size(), false);
  std::int64_t bytes = 0;
  for (const Operator& op : graph.operators) {
    if (architecture.module(op.module).layer != layer) continue;
    for (const ValueId id : op.outputs) made_here[id.index()] = true;
    for (const ValueId id : op.saved) {
      const Value& value = graph.value(id);
      const bool shared_table = !made_here[id.index()] && !value.needs_gradient;
      if (counted[id.index()] || shared_table) continue;
      counted[id.index()] = true;
      bytes += value.bytes;
    }
  }
  return bytes;
}

}  // namespace shardsim
