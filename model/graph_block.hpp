// The parts of a decoder layer. Internal to model/graph_*.cpp.
#pragma once

#include <optional>

#include "model/graph_builder.hpp"

namespace shardsim::graph {

/// What all layers share, made once by the model.
struct SharedTables {
  std::optional<Tensor> cos, sin;
  std::optional<Tensor> mask;  ///< [batch, 1, seq, seq], where some layer's attention needs one
};

/// How one layer computes its attention.
enum class AttentionPath : std::uint8_t {
  flash,   ///< causal, no mask, grouped queries natively
  masked,  ///< SDPA's memory-efficient kernel under a mask; keys and values repeated for every query head
  math,    ///< SDPA's composition of operators, where no fused kernel takes fp32 with grouped queries
  eager,   ///< two products with the scores in memory between them
};
AttentionPath attention_path(const Dimensions& dims, const GraphOptions& options, std::int64_t layer);

/// What a branch (attention or mlp) hands back to its layer.
struct Branch {
  Tensor output;
  std::optional<Tensor> weights;  ///< eager attention's, which the layer names until it returns
  bool dropout_done = false;      ///< the branch's module applied the residual dropout itself
};

Branch attention(GraphBuilder& builder, ModuleId module, std::int64_t layer, const Tensor& x,
                 const SharedTables& tables);
/// Attention over projected states: [batch, seq, heads, head_dim] each, already rotated.
Branch attend(GraphBuilder& builder, const Tensor& q, const Tensor& k, const Tensor& v, std::int64_t layer,
              const SharedTables& tables);
/// Falcon's new architecture gives every query head keys and values of its own before it rotates them.
inline bool falcon_repeats_heads(const Dimensions& dims) {
  return dims.family == Family::falcon && dims.kv_heads > 1 && dims.kv_heads < dims.heads;
}
Tensor rotate(GraphBuilder& builder, const Tensor& states, const SharedTables& tables);

/// The mlp whose modules are the next children; opt has them in the layer itself.
Branch mlp(GraphBuilder& builder, Children& children, const Tensor& x);
Branch experts(GraphBuilder& builder, ModuleId module, const Tensor& x);

/// One decoder layer. The caller names `x` until after the layer has returned.
Tensor decoder_layer(GraphBuilder& builder, ModuleId module, const Tensor& x, const SharedTables& tables);

/// Losses drop nothing that they were given. Of `logits`, all at once:
Tensor cross_entropy(GraphBuilder& builder, const Tensor& logits, const Tensor& labels);
/// One kernel on the logits in their own type, as of flash-attention or Unsloth: nothing in fp32 but under FOAK, and
/// the gradient is written over the logits. Under transformers' modules these are the shifted copy.
Tensor kernel_cross_entropy(GraphBuilder& builder, const Tensor& logits, const Tensor& labels);
/// Of the head's input, by torchtitan's ChunkedLossWrapper (components/loss.py): head, loss and backward of one chunk
/// of each sequence after the other, the gradient of the head's input collected in fp32.
Tensor chunked_cross_entropy(GraphBuilder& builder, ModuleId head, const Tensor& hidden);
constexpr std::int64_t loss_chunks = 8;  ///< torchtitan's default
/// Of the head's input, by Liger-Kernel's ops/fused_linear_cross_entropy.py: a chunk of tokens at a time, gradients in
/// forward, logits overwritten by their gradient.
Tensor fused_cross_entropy(GraphBuilder& builder, ModuleId head, const Tensor& hidden, const Tensor& labels);

}  // namespace shardsim::graph
