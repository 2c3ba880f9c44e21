// The families whose blocks are spelled as Llama's: input_layernorm, self_attn, post_attention_layernorm, mlp.
// Structure and names: transformers 4.57, models/<family>/modeling_<family>.py.
#include <string>

#include "model/architecture_builder.hpp"

namespace shardsim {

namespace {

/// The class names of one family, composed once.
struct Classes {
  explicit Classes(const std::string& prefix)
      : layer(prefix + "DecoderLayer"),
        attention(prefix + "Attention"),
        mlp(prefix + "MLP"),
        norm(prefix + "RMSNorm"),
        rotary(prefix + "RotaryEmbedding") {}
  std::string layer, attention, mlp, norm, rotary;
};

std::string prefix_of(Family family) {
  switch (family) {
    case Family::mistral:
      return "Mistral";
    case Family::mixtral:
      return "Mixtral";
    case Family::qwen2:
      return "Qwen2";
    case Family::qwen3:
      return "Qwen3";
    case Family::qwen3_moe:
      return "Qwen3Moe";
    case Family::gemma:
      return "Gemma";
    case Family::gemma2:
      return "Gemma2";
    case Family::gemma3:
      return "Gemma3";
    case Family::phi3:
      return "Phi3";
    case Family::deepseek_v3:
      return "DeepseekV3";
    default:
      return "Llama";
  }
}

ModuleId add_fused_attention(ArchitectureBuilder& b, ModuleId layer, const Classes& classes) {
  const Dimensions& d = b.dims();
  const ModuleId attention = b.add(layer, "self_attn", classes.attention);
  const ModuleId o = b.linear(attention, "o_proj", d.q(), d.hidden, d.output_bias);
  const ModuleId qkv = b.linear(attention, "qkv_proj", d.hidden, d.q() + 2 * d.kv(), d.attention_bias);
  b.runs(attention, {qkv, o});
  return attention;
}

ModuleId add_attention(ArchitectureBuilder& b, ModuleId layer, const Classes& classes) {
  const Dimensions& d = b.dims();
  const ModuleId attention = b.add(layer, "self_attn", classes.attention);
  const ModuleId q = b.linear(attention, "q_proj", d.hidden, d.q(), d.attention_bias);
  const ModuleId k = b.linear(attention, "k_proj", d.hidden, d.kv(), d.attention_bias);
  const ModuleId v = b.linear(attention, "v_proj", d.hidden, d.kv(), d.attention_bias);
  const ModuleId o = b.linear(attention, "o_proj", d.q(), d.hidden, d.output_bias);
  if (!d.qk_norm) return attention;
  const ModuleId q_norm = b.norm(attention, "q_norm", d.head_dim, classes.norm);
  const ModuleId k_norm = b.norm(attention, "k_norm", d.head_dim, classes.norm);
  if (d.family == Family::gemma3) {
    b.runs(attention, {q, k, v, q_norm, k_norm, o});
  } else {
    b.runs(attention, {q, q_norm, k, k_norm, v, o});
  }
  return attention;
}

ModuleId add_latent_attention(ArchitectureBuilder& b, ModuleId layer, const Classes& classes) {
  const Dimensions& d = b.dims();
  const LatentAttention& latent = *d.latent;
  const ModuleId attention = b.add(layer, "self_attn", classes.attention);
  if (latent.q_rank == 0) {
    b.linear(attention, "q_proj", d.hidden, d.q(), false);
  } else {
    b.linear(attention, "q_a_proj", d.hidden, latent.q_rank, d.attention_bias);
    b.norm(attention, "q_a_layernorm", latent.q_rank, classes.norm);
    b.linear(attention, "q_b_proj", latent.q_rank, d.q(), false);
  }
  b.linear(attention, "kv_a_proj_with_mqa", d.hidden, latent.kv_rank + latent.rope_dim, d.attention_bias);
  b.norm(attention, "kv_a_layernorm", latent.kv_rank, classes.norm);
  b.linear(attention, "kv_b_proj", latent.kv_rank, d.heads * (latent.nope_dim + latent.value_dim), false);
  b.linear(attention, "o_proj", d.heads * latent.value_dim, d.hidden, d.output_bias);
  return attention;
}

ModuleId add_fused_mlp(ArchitectureBuilder& b, ModuleId layer, const Classes& classes) {
  const Dimensions& d = b.dims();
  const ModuleId mlp = b.add(layer, "mlp", classes.mlp);
  const ModuleId gate_up = b.linear(mlp, "gate_up_proj", d.hidden, 2 * d.ffn, d.mlp_bias);
  const ModuleId down = b.linear(mlp, "down_proj", d.ffn, d.hidden, d.mlp_bias);
  const ModuleId act = b.activation(mlp, "activation_fn");
  b.runs(mlp, {gate_up, act, down});
  return mlp;
}

ModuleId add_mlp(ArchitectureBuilder& b, ModuleId parent, std::string_view name, std::int64_t ffn,
                 const Classes& classes) {
  const Dimensions& d = b.dims();
  const ModuleId mlp = b.add(parent, name, classes.mlp);
  const ModuleId gate = b.linear(mlp, "gate_proj", d.hidden, ffn, d.mlp_bias);
  const ModuleId up = b.linear(mlp, "up_proj", d.hidden, ffn, d.mlp_bias);
  const ModuleId down = b.linear(mlp, "down_proj", ffn, d.hidden, d.mlp_bias);
  const ModuleId act = b.activation(mlp, "act_fn");
  b.runs(mlp, {gate, act, up, down});
  return mlp;
}

std::string expert_name(std::int64_t index) { return "experts." + std::to_string(index); }

ModuleId add_mixtral_experts(ArchitectureBuilder& b, ModuleId layer) {
  const Dimensions& d = b.dims();
  const ModuleId moe = b.add(layer, "block_sparse_moe", "MixtralSparseMoeBlock");
  b.linear(moe, "gate", d.hidden, d.experts->count, false);
  for (std::int64_t i = 0; i < d.experts->count; ++i) {
    const ModuleId expert = b.add(moe, expert_name(i), "MixtralBlockSparseTop2MLP");
    const ModuleId gate = b.linear(expert, "w1", d.hidden, d.experts->ffn, false);
    const ModuleId down = b.linear(expert, "w2", d.experts->ffn, d.hidden, false);
    const ModuleId up = b.linear(expert, "w3", d.hidden, d.experts->ffn, false);
    const ModuleId act = b.activation(expert, "act_fn");
    b.runs(expert, {gate, act, up, down});
  }
  return moe;
}

ModuleId add_qwen3_experts(ArchitectureBuilder& b, ModuleId layer, const Classes& classes) {
  const Experts& experts = *b.dims().experts;
  const ModuleId moe = b.add(layer, "mlp", "Qwen3MoeSparseMoeBlock");
  b.linear(moe, "gate", b.dims().hidden, experts.count, false);
  for (std::int64_t i = 0; i < experts.count; ++i) add_mlp(b, moe, expert_name(i), experts.ffn, classes);
  return moe;
}

ModuleId add_deepseek_experts(ArchitectureBuilder& b, ModuleId layer, const Classes& classes) {
  const Experts& experts = *b.dims().experts;
  const ModuleId moe = b.add(layer, "mlp", "DeepseekV3MoE");
  for (std::int64_t i = 0; i < experts.count; ++i) add_mlp(b, moe, expert_name(i), experts.ffn, classes);
  const ModuleId router = b.linear(moe, "gate", b.dims().hidden, experts.count, false, "DeepseekV3TopkRouter");
  if (experts.shared_ffn > 0) add_mlp(b, moe, "shared_experts", experts.shared_ffn, classes);
  b.runs_first(moe, router);
  return moe;
}

ModuleId add_feed_forward(ArchitectureBuilder& b, ModuleId layer, std::int64_t index, const Classes& classes) {
  const Dimensions& d = b.dims();
  if (d.experts && d.layer_is_moe[static_cast<std::size_t>(index)]) {
    if (d.family == Family::mixtral) return add_mixtral_experts(b, layer);
    if (d.family == Family::qwen3_moe) return add_qwen3_experts(b, layer, classes);
    return add_deepseek_experts(b, layer, classes);
  }
  return d.fused_gate_up ? add_fused_mlp(b, layer, classes) : add_mlp(b, layer, "mlp", d.ffn, classes);
}

void add_layer(ArchitectureBuilder& b, ModuleId model, std::int64_t index, const Classes& classes) {
  const Dimensions& d = b.dims();
  const ModuleId layer = b.layer(model, "layers", index, classes.layer);
  const ModuleId attention = d.latent      ? add_latent_attention(b, layer, classes)
                             : d.fused_qkv ? add_fused_attention(b, layer, classes)
                                           : add_attention(b, layer, classes);
  const ModuleId mlp = add_feed_forward(b, layer, index, classes);
  const ModuleId input_norm = b.norm(layer, "input_layernorm", d.hidden, classes.norm);
  const ModuleId attention_norm = b.norm(layer, "post_attention_layernorm", d.hidden, classes.norm);
  if (d.sandwich_norms) {
    const ModuleId before = b.norm(layer, "pre_feedforward_layernorm", d.hidden, classes.norm);
    const ModuleId after = b.norm(layer, "post_feedforward_layernorm", d.hidden, classes.norm);
    b.runs(layer, {input_norm, attention, attention_norm, before, mlp, after});
  } else if (d.family == Family::phi3) {
    const ModuleId attention_dropout = b.dropout(layer, "resid_attn_dropout");
    const ModuleId mlp_dropout = b.dropout(layer, "resid_mlp_dropout");
    b.runs(layer, {input_norm, attention, attention_dropout, attention_norm, mlp, mlp_dropout});
  } else {
    b.runs(layer, {input_norm, attention, attention_norm, mlp});
  }
}

}  // namespace

void build_llama_like(ArchitectureBuilder& b) {
  const Dimensions& d = b.dims();
  const bool gemma3 = d.family == Family::gemma3;
  const std::string prefix = prefix_of(d.family);
  const Classes classes(prefix);
  const ModuleId root = b.root(prefix + "ForCausalLM");
  const ModuleId model = b.add(root, "model", prefix + (gemma3 ? "TextModel" : "Model"));
  const ModuleId tokens =
      b.embedding(model, "embed_tokens", d.vocab, d.hidden, gemma3 ? "Gemma3TextScaledWordEmbedding" : "Embedding");
  b.add(model, "rotary_emb", classes.rotary, ModuleKind::rotary);
  if (gemma3) b.add(model, "rotary_emb_local", classes.rotary, ModuleKind::rotary);
  for (std::int64_t i = 0; i < d.layers; ++i) add_layer(b, model, i, classes);
  b.norm(model, "norm", d.hidden, classes.norm);
  b.head("lm_head", tokens);
}

}  // namespace shardsim
