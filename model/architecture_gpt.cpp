// The families that descend from GPT-2 and GPT-3: layer norms, a plain mlp, mostly one projection for q, k and v.
// Structure and names: transformers 4.57, models/<family>/modeling_<family>.py.
#include "model/architecture_builder.hpp"

namespace shardsim {

namespace {

std::int64_t qkv_width(const Dimensions& d) { return d.q() + 2 * d.kv(); }

/// The names that one family gives to an mlp's parts; an empty activation class is the usual one.
struct MlpNames {
  std::string_view module, module_class, up, activation, down;
  std::string_view linear_class = "Linear";
  std::string_view activation_class = {};
};

/// up, activation, down: registered and run in this order.
ModuleId add_plain_mlp(ArchitectureBuilder& b, ModuleId layer, const MlpNames& names) {
  const Dimensions& d = b.dims();
  const ModuleId mlp = b.add(layer, names.module, names.module_class);
  b.linear(mlp, names.up, d.hidden, d.ffn, d.mlp_bias, names.linear_class);
  b.activation(mlp, names.activation, names.activation_class);
  b.linear(mlp, names.down, d.ffn, d.hidden, d.mlp_bias, names.linear_class);
  return mlp;
}

}  // namespace

void build_gpt2(ArchitectureBuilder& b) {
  const Dimensions& d = b.dims();
  const ModuleId root = b.root("GPT2LMHeadModel");
  const ModuleId transformer = b.add(root, "transformer", "GPT2Model");
  const ModuleId tokens = b.embedding(transformer, "wte", d.vocab, d.hidden);
  b.embedding(transformer, "wpe", d.max_positions, d.hidden);
  b.dropout(transformer, "drop");
  for (std::int64_t i = 0; i < d.layers; ++i) {
    const ModuleId layer = b.layer(transformer, "h", i, "GPT2Block");
    b.norm(layer, "ln_1", d.hidden);
    const ModuleId attention = b.add(layer, "attn", "GPT2Attention");
    b.conv1d(attention, "c_attn", d.hidden, qkv_width(d));
    b.conv1d(attention, "c_proj", d.q(), d.hidden);
    b.dropout(attention, "resid_dropout");
    b.norm(layer, "ln_2", d.hidden);
    const ModuleId mlp = b.add(layer, "mlp", "GPT2MLP");
    const ModuleId up = b.conv1d(mlp, "c_fc", d.hidden, d.ffn);
    const ModuleId down = b.conv1d(mlp, "c_proj", d.ffn, d.hidden);
    const ModuleId act = b.activation(mlp, "act");
    const ModuleId dropout = b.dropout(mlp, "dropout");
    b.runs(mlp, {up, act, down, dropout});
  }
  b.norm(transformer, "ln_f", d.hidden);
  b.head("lm_head", tokens);
}

void build_gpt_neox(ArchitectureBuilder& b) {
  const Dimensions& d = b.dims();
  const ModuleId root = b.root("GPTNeoXForCausalLM");
  const ModuleId model = b.add(root, "gpt_neox", "GPTNeoXModel");
  const ModuleId tokens = b.embedding(model, "embed_in", d.vocab, d.hidden);
  b.dropout(model, "emb_dropout");
  b.add(model, "rotary_emb", "GPTNeoXRotaryEmbedding", ModuleKind::rotary);
  for (std::int64_t i = 0; i < d.layers; ++i) {
    const ModuleId layer = b.layer(model, "layers", i, "GPTNeoXLayer");
    const ModuleId input_norm = b.norm(layer, "input_layernorm", d.hidden);
    const ModuleId attention_norm = b.norm(layer, "post_attention_layernorm", d.hidden);
    const ModuleId attention_dropout = b.dropout(layer, "post_attention_dropout");
    const ModuleId mlp_dropout = b.dropout(layer, "post_mlp_dropout");
    const ModuleId attention = b.add(layer, "attention", "GPTNeoXAttention");
    b.linear(attention, "query_key_value", d.hidden, qkv_width(d), d.attention_bias);
    b.linear(attention, "dense", d.q(), d.hidden, d.output_bias);
    const ModuleId mlp = add_plain_mlp(b, layer, {"mlp", "GPTNeoXMLP", "dense_h_to_4h", "act", "dense_4h_to_h"});
    b.runs(layer, {input_norm, attention, attention_dropout, attention_norm, mlp, mlp_dropout});
  }
  b.norm(model, "final_layer_norm", d.hidden);
  b.head("embed_out", tokens);
}

void build_falcon(ArchitectureBuilder& b) {
  const Dimensions& d = b.dims();
  const ModuleId root = b.root("FalconForCausalLM");
  const ModuleId transformer = b.add(root, "transformer", "FalconModel");
  const ModuleId tokens = b.embedding(transformer, "word_embeddings", d.vocab, d.hidden);
  // Runs even where alibi leaves its result unused.
  b.add(transformer, "rotary_emb", "FalconRotaryEmbedding", ModuleKind::rotary);
  for (std::int64_t i = 0; i < d.layers; ++i) {
    const ModuleId layer = b.layer(transformer, "h", i, "FalconDecoderLayer");
    const ModuleId attention = b.add(layer, "self_attention", "FalconAttention");
    b.linear(attention, "query_key_value", d.hidden, qkv_width(d), d.attention_bias, "FalconLinear");
    b.linear(attention, "dense", d.q(), d.hidden, d.output_bias, "FalconLinear");
    const ModuleId mlp =
        add_plain_mlp(b, layer, {"mlp", "FalconMLP", "dense_h_to_4h", "act", "dense_4h_to_h", "FalconLinear"});
    if (!d.parallel_residual) {
      const ModuleId mlp_norm = b.norm(layer, "post_attention_layernorm", d.hidden);
      const ModuleId attention_norm = b.norm(layer, "input_layernorm", d.hidden);
      b.runs(layer, {attention_norm, attention, mlp_norm, mlp});
    } else if (d.two_norms_in_parallel) {
      const ModuleId attention_norm = b.norm(layer, "ln_attn", d.hidden);
      const ModuleId mlp_norm = b.norm(layer, "ln_mlp", d.hidden);
      b.runs(layer, {attention_norm, mlp_norm, attention, mlp});
    } else {
      const ModuleId shared_norm = b.norm(layer, "input_layernorm", d.hidden);
      b.runs(layer, {shared_norm, attention, mlp});
    }
  }
  b.norm(transformer, "ln_f", d.hidden);
  b.head("lm_head", tokens);
}

void build_bloom(ArchitectureBuilder& b) {
  const Dimensions& d = b.dims();
  const ModuleId root = b.root("BloomForCausalLM");
  const ModuleId transformer = b.add(root, "transformer", "BloomModel");
  const ModuleId tokens = b.embedding(transformer, "word_embeddings", d.vocab, d.hidden);
  b.norm(transformer, "word_embeddings_layernorm", d.hidden);
  for (std::int64_t i = 0; i < d.layers; ++i) {
    const ModuleId layer = b.layer(transformer, "h", i, "BloomBlock");
    b.norm(layer, "input_layernorm", d.hidden);
    const ModuleId attention = b.add(layer, "self_attention", "BloomAttention");
    const ModuleId qkv = b.linear(attention, "query_key_value", d.hidden, qkv_width(d), d.attention_bias);
    const ModuleId dense = b.linear(attention, "dense", d.q(), d.hidden, d.output_bias);
    // Bloom computes its attention itself, so this dropout runs whatever attention is asked for.
    const ModuleId dropout = b.dropout(attention, "attention_dropout");
    b.runs(attention, {qkv, dropout, dense});
    b.norm(layer, "post_attention_layernorm", d.hidden);
    add_plain_mlp(b, layer, {"mlp", "BloomMLP", "dense_h_to_4h", "gelu_impl", "dense_4h_to_h", "Linear", "BloomGelu"});
  }
  b.norm(transformer, "ln_f", d.hidden);
  b.head("lm_head", tokens);
}

void build_mpt(ArchitectureBuilder& b) {
  const Dimensions& d = b.dims();
  const ModuleId root = b.root("MptForCausalLM");
  const ModuleId transformer = b.add(root, "transformer", "MptModel");
  const ModuleId tokens = b.embedding(transformer, "wte", d.vocab, d.hidden);
  // transformers knows MPT with alibi and without biases only; llm-foundry, its origin, has these as well.
  if (d.learned_positions) b.embedding(transformer, "wpe", d.max_positions, d.hidden);
  for (std::int64_t i = 0; i < d.layers; ++i) {
    const ModuleId layer = b.layer(transformer, "blocks", i, "MptBlock");
    const ModuleId attention_norm = b.norm(layer, "norm_1", d.hidden);
    const ModuleId attention = b.add(layer, "attn", "MptAttention");
    b.linear(attention, "Wqkv", d.hidden, qkv_width(d), d.attention_bias);
    b.linear(attention, "out_proj", d.q(), d.hidden, d.output_bias);
    const ModuleId mlp_norm = b.norm(layer, "norm_2", d.hidden);
    const ModuleId mlp = add_plain_mlp(b, layer, {"ffn", "MptMLP", "up_proj", "act", "down_proj", "Linear", "GELU"});
    const ModuleId dropout = b.dropout(layer, "resid_attn_dropout");
    b.runs(layer, {attention_norm, attention, dropout, mlp_norm, mlp});
  }
  b.norm(transformer, "norm_f", d.hidden);
  b.head("lm_head", tokens);
}

void build_opt(ArchitectureBuilder& b) {
  const Dimensions& d = b.dims();
  const bool projects = d.embedding_dim != d.hidden;
  const ModuleId root = b.root("OPTForCausalLM");
  // OPTForCausalLM calls model.decoder itself: the OPTModel between them never runs.
  const ModuleId decoder = b.add(root, "model.decoder", "OPTDecoder");
  const ModuleId tokens = b.embedding(decoder, "embed_tokens", d.vocab, d.embedding_dim);
  // Two rows more than positions: fairseq's padding offset.
  const ModuleId positions =
      b.embedding(decoder, "embed_positions", d.max_positions + 2, d.hidden, "OPTLearnedPositionalEmbedding");
  std::vector<ModuleId> order = {tokens, positions}, last;
  if (projects) {
    last.push_back(b.linear(decoder, "project_out", d.hidden, d.embedding_dim, false));
    order.push_back(b.linear(decoder, "project_in", d.embedding_dim, d.hidden, false));
  }
  if (d.final_norm) last.insert(last.begin(), b.norm(decoder, "final_layer_norm", d.hidden));
  for (std::int64_t i = 0; i < d.layers; ++i) {
    const ModuleId layer = b.layer(decoder, "layers", i, "OPTDecoderLayer");
    const ModuleId attention = b.add(layer, "self_attn", "OPTAttention");
    const ModuleId k = b.linear(attention, "k_proj", d.hidden, d.kv(), d.attention_bias);
    const ModuleId v = b.linear(attention, "v_proj", d.hidden, d.kv(), d.attention_bias);
    const ModuleId q = b.linear(attention, "q_proj", d.hidden, d.q(), d.attention_bias);
    const ModuleId out = b.linear(attention, "out_proj", d.q(), d.hidden, d.output_bias);
    b.runs(attention, {q, k, v, out});
    const ModuleId act = b.activation(layer, "activation_fn");
    const ModuleId attention_norm = b.norm(layer, "self_attn_layer_norm", d.hidden);
    const ModuleId up = b.linear(layer, "fc1", d.hidden, d.ffn, d.mlp_bias);
    const ModuleId down = b.linear(layer, "fc2", d.ffn, d.hidden, d.mlp_bias);
    const ModuleId mlp_norm = b.norm(layer, "final_layer_norm", d.hidden);
    if (d.post_norm) {
      b.runs(layer, {attention, attention_norm, up, act, down, mlp_norm});
    } else {
      b.runs(layer, {attention_norm, attention, mlp_norm, up, act, down});
    }
    order.push_back(layer);
  }
  order.insert(order.end(), last.begin(), last.end());
  b.runs(decoder, order);
  b.head("lm_head", tokens);
}

}  // namespace shardsim
