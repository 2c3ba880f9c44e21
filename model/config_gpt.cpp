// The keys of the families that descend from GPT-2 and GPT-3: each has spellings of its own.
#include <cmath>

#include "model/config_dimensions.hpp"

namespace shardsim {

namespace {

/// What these families have in common: layer norms with biases, a plain mlp, every head its own keys and values.
void set_common(const Config& config, Dimensions& dims, bool tied) {
  dims.kv_heads = dims.heads;
  dims.head_dim = divided_head_dim(config, dims);
  dims.rotary = false;
  dims.gated_mlp = false;
  dims.fused_qkv = true;
  dims.norm = NormKind::layer;
  dims.norm_bias = true;
  dims.tied_embeddings = config.flag({"tie_word_embeddings"}, tied);
}

void set_biases(Dimensions& dims, bool biased) { dims.attention_bias = dims.output_bias = dims.mlp_bias = biased; }

std::int64_t four_times(std::int64_t hidden) { return 4 * hidden; }

}  // namespace

void read_gpt2(const Config& config, Dimensions& dims) {
  if (config.flag({"add_cross_attention"}, false)) {
    config.refuse("add_cross_attention", "is true", "a decoder without cross-attention");
  }
  dims.vocab = config.size({"vocab_size"});
  dims.hidden = config.size({"n_embd", "hidden_size"});
  dims.layers = config.size({"n_layer", "num_hidden_layers"});
  dims.heads = config.size({"n_head", "num_attention_heads"});
  dims.ffn = config.size({"n_inner"}, four_times(dims.hidden));
  dims.max_positions = config.size({"n_positions", "max_position_embeddings", "n_ctx"}, 1024);
  set_common(config, dims, true);
  set_biases(dims, true);
  dims.learned_positions = true;
  dims.dropout = config.number({"resid_pdrop"}, 0.1, 1);
  dims.attention_dropout = config.number({"attn_pdrop"}, 0.1, 1);
  dims.activation = read_activation(config, {"activation_function"}, "gelu_new");
}

void read_gpt_neox(const Config& config, Dimensions& dims) {
  dims.vocab = config.size({"vocab_size"});
  dims.hidden = config.size({"hidden_size"});
  dims.layers = config.size({"num_hidden_layers"});
  dims.heads = config.size({"num_attention_heads"});
  dims.ffn = config.size({"intermediate_size"});
  dims.max_positions = config.size({"max_position_embeddings"}, 2048);
  set_common(config, dims, false);
  dims.attention_bias = dims.output_bias = config.flag({"attention_bias"}, true);
  dims.mlp_bias = true;
  dims.rotary = true;
  const double v5 = config.object("rope_parameters").number({"partial_rotary_factor"}, 0.25, 1);
  const double part = config.number({"rotary_pct", "partial_rotary_factor"}, v5, 1);
  dims.rotary_dim = static_cast<std::int64_t>(std::floor(static_cast<double>(dims.head_dim) * part));
  dims.parallel_residual = config.flag({"use_parallel_residual"}, true);
  dims.two_norms_in_parallel = dims.parallel_residual;
  dims.dropout = config.number({"hidden_dropout"}, 0, 1);
  dims.attention_dropout = config.number({"attention_dropout"}, 0, 1);
  dims.activation = read_activation(config, {"hidden_act"}, "gelu");
}

void read_falcon(const Config& config, Dimensions& dims) {
  dims.vocab = config.size({"vocab_size"});
  dims.hidden = config.size({"hidden_size", "n_embed"});
  dims.layers = config.size({"num_hidden_layers", "n_layer"});
  dims.heads = config.size({"num_attention_heads", "n_head"});
  dims.ffn = config.size({"ffn_hidden_size"}, four_times(dims.hidden));
  dims.max_positions = config.size({"max_position_embeddings"}, 2048);
  set_common(config, dims, true);
  set_biases(dims, config.flag({"bias"}, false));
  dims.alibi = config.flag({"alibi"}, false);
  dims.rotary = !dims.alibi;
  dims.rotary_dim = dims.rotary ? dims.head_dim : 0;
  dims.parallel_residual = config.flag({"parallel_attn"}, true);
  dims.dropout = config.number({"hidden_dropout"}, 0, 1);
  dims.attention_dropout = config.number({"attention_dropout"}, 0, 1);
  dims.activation = read_activation(config, {"activation"}, "gelu");
  if (!config.flag({"new_decoder_architecture"}, false)) {
    if (config.flag({"multi_query"}, true)) dims.kv_heads = 1;
    return;
  }
  if (!dims.parallel_residual) {
    config.refuse("parallel_attn", "is false with new_decoder_architecture", "true: falcon has no such block");
  }
  dims.kv_heads = config.size({"num_kv_heads", "n_head_kv"}, dims.heads);
  if (dims.heads % dims.kv_heads != 0) {
    config.refuse("num_kv_heads",
                  "is " + std::to_string(dims.kv_heads) + " for " + std::to_string(dims.heads) + " heads",
                  "a divisor of num_attention_heads");
  }
  const std::int64_t norms = config.size({"num_ln_in_parallel_attn"}, 2);
  if (norms > 2) config.refuse("num_ln_in_parallel_attn", "is " + std::to_string(norms), "1 or 2");
  dims.two_norms_in_parallel = norms == 2;
}

void read_opt(const Config& config, Dimensions& dims) {
  dims.vocab = config.size({"vocab_size"});
  dims.hidden = config.size({"hidden_size"});
  dims.layers = config.size({"num_hidden_layers"});
  dims.heads = config.size({"num_attention_heads"});
  dims.ffn = config.size({"ffn_dim"});
  dims.max_positions = config.size({"max_position_embeddings"}, 2048);
  dims.embedding_dim = config.size({"word_embed_proj_dim"}, dims.hidden);
  set_common(config, dims, true);
  set_biases(dims, config.flag({"enable_bias"}, true));
  if (!config.flag({"layer_norm_elementwise_affine"}, true)) {
    config.refuse("layer_norm_elementwise_affine", "is false", "true: norms without weights are not modelled");
  }
  dims.fused_qkv = false;
  dims.learned_positions = true;
  dims.post_norm = !config.flag({"do_layer_norm_before"}, true);
  dims.final_norm = !dims.post_norm && !config.flag({"_remove_final_layer_norm"}, false);
  dims.dropout = config.number({"dropout"}, 0.1, 1);
  dims.attention_dropout = config.number({"attention_dropout"}, 0, 1);
  dims.activation = read_activation(config, {"activation_function"}, "relu");
}

void read_bloom(const Config& config, Dimensions& dims) {
  dims.vocab = config.size({"vocab_size"});
  dims.hidden = config.size({"n_embed", "hidden_size"});
  dims.layers = config.size({"n_layer", "num_hidden_layers"});
  dims.heads = config.size({"n_head", "num_attention_heads"});
  dims.ffn = four_times(dims.hidden);
  // Alibi sets no limit; the models were trained on 2048 tokens.
  dims.max_positions = config.size({"seq_length"}, 2048);
  set_common(config, dims, true);
  set_biases(dims, true);
  dims.alibi = true;
  dims.embedding_norm = true;
  dims.dropout = config.number({"hidden_dropout"}, 0, 1);
  dims.attention_dropout = config.number({"attention_dropout"}, 0, 1);
  dims.activation = Activation::gelu_tanh;  // BloomGelu; no key changes it
}

void read_mpt(const Config& config, Dimensions& dims) {
  const Config attention = config.object("attn_config");
  const std::string type = attention.text({"attn_type"}, "multihead_attention");
  if (type != "multihead_attention") attention.refuse("attn_type", "is \"" + type + "\"", "\"multihead_attention\"");
  dims.vocab = config.size({"vocab_size"});
  dims.hidden = config.size({"d_model", "hidden_size"});
  dims.layers = config.size({"n_layers", "num_hidden_layers"});
  dims.heads = config.size({"n_heads", "num_attention_heads"});
  dims.ffn = dims.hidden * config.size({"expansion_ratio"}, 4);
  dims.max_positions = config.size({"max_seq_len"}, 2048);
  set_common(config, dims, true);
  const bool biased = !config.flag({"no_bias"}, true);
  set_biases(dims, biased);
  dims.norm_bias = biased;
  dims.alibi = attention.flag({"alibi"}, true);
  // Alibi takes the table's place, whatever learned_pos_emb says.
  dims.learned_positions = !dims.alibi && config.flag({"learned_pos_emb"}, true);
  dims.dropout = config.number({"resid_pdrop"}, 0, 1);
  dims.attention_dropout = attention.number({"attn_pdrop"}, 0, 1);
  dims.activation = Activation::gelu;
}

}  // namespace shardsim
