// The keys of Llama and of the families whose configuration classes follow it.
#include <algorithm>
#include <cmath>

#include "model/config_dimensions.hpp"

namespace shardsim {

namespace {

/// What an absent key means, by family. 0 heads or head_dim: derived (kv_heads from heads, head_dim from hidden).
struct Defaults {
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t max_positions = 0;
  std::int64_t sliding_window = 0;
  bool tied = false;
};

Defaults defaults_of(Family family) {
  switch (family) {
    case Family::mistral:
      return {.kv_heads = 8, .max_positions = 131072, .sliding_window = 4096};
    case Family::mixtral:
      return {.kv_heads = 8, .max_positions = 131072};
    case Family::qwen2:
      return {.kv_heads = 32, .max_positions = 32768, .sliding_window = 4096};
    case Family::qwen3:
      return {.kv_heads = 32, .head_dim = 128, .max_positions = 32768, .sliding_window = 4096};
    case Family::qwen3_moe:
      return {.kv_heads = 4, .max_positions = 32768, .sliding_window = 4096};
    case Family::gemma:
      return {.kv_heads = 16, .head_dim = 256, .max_positions = 8192, .tied = true};
    case Family::gemma2:
      return {.kv_heads = 4, .head_dim = 256, .max_positions = 8192, .sliding_window = 4096, .tied = true};
    case Family::gemma3:
      return {.kv_heads = 4, .head_dim = 256, .max_positions = 131072, .sliding_window = 4096, .tied = true};
    case Family::phi3:
      return {.max_positions = 4096};
    case Family::deepseek_v3:
      return {.kv_heads = 128, .max_positions = 4096};
    default:
      return {.max_positions = 2048};
  }
}

bool is_gemma(Family family) { return family == Family::gemma || family == Family::gemma2 || family == Family::gemma3; }
bool is_qwen(Family family) {
  return family == Family::qwen2 || family == Family::qwen3 || family == Family::qwen3_moe;
}

/// A number where null means none.
double optional_number(const Config& config, std::string_view key, double fallback) {
  return config.is_null(key) ? 0 : config.number({key}, fallback, 1e9);
}

void read_sizes(const Config& config, Dimensions& dims, const Defaults& defaults) {
  dims.hidden = config.size({"hidden_size"});
  dims.layers = config.size({"num_hidden_layers"});
  dims.ffn = config.size({"intermediate_size"});
  const bool gemma3 = dims.family == Family::gemma3;
  dims.heads = gemma3 ? config.size({"num_attention_heads"}, 8) : config.size({"num_attention_heads"});
  dims.vocab = gemma3 ? config.size({"vocab_size"}, 262208) : config.size({"vocab_size"});
  dims.max_positions = config.size({"max_position_embeddings"}, defaults.max_positions);

  const bool as_heads = defaults.kv_heads == 0 || config.is_null("num_key_value_heads");
  dims.kv_heads = config.size({"num_key_value_heads"}, as_heads ? dims.heads : defaults.kv_heads);
  if (dims.heads % dims.kv_heads != 0) {
    config.refuse("num_key_value_heads",
                  "is " + std::to_string(dims.kv_heads) +
                      (config.has({"num_key_value_heads"}) ? "" : ", the family's default,") + " for " +
                      std::to_string(dims.heads) + " heads",
                  "a divisor of num_attention_heads");
  }
}

void read_head_dim(const Config& config, Dimensions& dims, const Defaults& defaults) {
  const bool divide = !config.has({"head_dim"}) && defaults.head_dim == 0;
  dims.head_dim = divide ? divided_head_dim(config, dims) : config.size({"head_dim"}, defaults.head_dim);
  const double partial = config.object("rope_parameters").number({"partial_rotary_factor"}, 1, 1);
  const double factor = dims.family == Family::phi3 ? config.number({"partial_rotary_factor"}, partial, 1) : 1;
  dims.rotary_dim = static_cast<std::int64_t>(std::floor(static_cast<double>(dims.head_dim) * factor));
}

/// Which layers attend through the window, as the configuration classes derive it where `layer_types` is absent.
bool slides(const Config& config, Family family, std::int64_t layer) {
  switch (family) {
    case Family::qwen2:
    case Family::qwen3:
      return layer >= config.count({"max_window_layers"}, 28);
    case Family::gemma2:
      return layer % 2 == 0;
    case Family::gemma3:
      return (layer + 1) % config.size({"sliding_window_pattern", "_sliding_window_pattern"}, 6) != 0;
    default:
      return true;
  }
}

void read_window(const Config& config, Dimensions& dims, const Defaults& defaults) {
  if (dims.family == Family::llama || dims.family == Family::gemma) return;
  if (is_qwen(dims.family) && !config.flag({"use_sliding_window"}, false)) return;
  if (config.is_null("sliding_window")) return;
  dims.sliding_window = config.count({"sliding_window"}, defaults.sliding_window);
  if (dims.sliding_window == 0) return;

  const auto types = config.texts("layer_types");
  if (types && static_cast<std::int64_t>(types->size()) != dims.layers) {
    config.refuse("layer_types", "has " + std::to_string(types->size()) + " entries",
                  "one for each of the " + std::to_string(dims.layers) + " layers");
  }
  for (std::int64_t i = 0; i < dims.layers; ++i) {
    dims.layer_is_sliding.push_back(types ? (*types)[static_cast<std::size_t>(i)] == "sliding_attention"
                                          : slides(config, dims.family, i));
  }
}

void read_biases(const Config& config, Dimensions& dims) {
  if (dims.family == Family::qwen2) {
    dims.attention_bias = true;  // not in the config: the class always has it
  } else if (dims.family != Family::mistral && dims.family != Family::mixtral && dims.family != Family::phi3) {
    dims.attention_bias = dims.output_bias = config.flag({"attention_bias"}, false);
  }
  if (dims.family == Family::llama) dims.mlp_bias = config.flag({"mlp_bias"}, false);
}

void read_experts(const Config& config, Dimensions& dims) {
  if (dims.family == Family::mixtral) {
    dims.experts = Experts{.count = config.size({"num_local_experts"}, 8),
                           .per_token = config.size({"num_experts_per_tok"}, 2),
                           .ffn = dims.ffn};
    dims.layer_is_moe.assign(static_cast<std::size_t>(dims.layers), true);
  } else if (dims.family == Family::qwen3_moe) {
    dims.experts = Experts{.count = config.size({"num_experts", "num_local_experts"}, 128),
                           .per_token = config.size({"num_experts_per_tok"}, 8),
                           .ffn = config.size({"moe_intermediate_size"}, 768)};
    const std::int64_t step = config.size({"decoder_sparse_step"}, 1);
    const std::vector<std::int64_t> dense = config.counts("mlp_only_layers").value_or(std::vector<std::int64_t>{});
    for (std::int64_t i = 0; i < dims.layers; ++i) {
      dims.layer_is_moe.push_back((i + 1) % step == 0 && std::find(dense.begin(), dense.end(), i) == dense.end());
    }
  }
}

}  // namespace

void read_llama_like(const Config& config, Dimensions& dims) {
  const Defaults defaults = defaults_of(dims.family);
  const bool gemma = is_gemma(dims.family);
  read_sizes(config, dims, defaults);
  read_head_dim(config, dims, defaults);
  read_window(config, dims, defaults);
  read_biases(config, dims);
  read_experts(config, dims);
  dims.activation = gemma ? read_activation(config, {"hidden_activation", "hidden_act"}, "gelu_pytorch_tanh")
                          : read_activation(config, {"hidden_act"}, "silu");
  dims.tied_embeddings = config.flag({"tie_word_embeddings"}, defaults.tied);
  dims.attention_dropout = config.number({"attention_dropout"}, 0, 1);
  dims.fused_qkv = dims.fused_gate_up = dims.family == Family::phi3;
  if (dims.family == Family::phi3) dims.dropout = config.number({"resid_pdrop"}, 0, 1);
  dims.qk_norm = is_qwen(dims.family) ? dims.family != Family::qwen2 : dims.family == Family::gemma3;
  dims.sandwich_norms = dims.family == Family::gemma2 || dims.family == Family::gemma3;
  dims.embedding_scale = gemma;
  if (dims.sandwich_norms) {
    const bool caps = dims.family == Family::gemma2;
    dims.attention_softcap = optional_number(config, "attn_logit_softcapping", caps ? 50 : 0);
    dims.final_softcap = optional_number(config, "final_logit_softcapping", caps ? 30 : 0);
  }
}

void read_deepseek(const Config& config, Dimensions& dims) {
  const Defaults defaults = defaults_of(dims.family);
  read_sizes(config, dims, defaults);
  // null stands for queries that are projected directly.
  const std::int64_t q_rank = config.is_null("q_lora_rank") ? 0 : config.size({"q_lora_rank"}, 1536);
  dims.latent = LatentAttention{.q_rank = q_rank,
                                .kv_rank = config.size({"kv_lora_rank"}, 512),
                                .rope_dim = config.size({"qk_rope_head_dim"}, 64),
                                .nope_dim = config.size({"qk_nope_head_dim"}, 128),
                                .value_dim = config.size({"v_head_dim"}, 128)};
  // The key head_dim, where there, repeats the rotary part.
  dims.head_dim = dims.latent->nope_dim + dims.latent->rope_dim;
  dims.rotary_dim = dims.latent->rope_dim;
  dims.attention_bias = dims.output_bias = config.flag({"attention_bias"}, false);
  const std::int64_t expert_ffn = config.size({"moe_intermediate_size"}, 2048);
  dims.experts = Experts{.count = config.size({"n_routed_experts", "num_local_experts"}, 256),
                         .per_token = config.size({"num_experts_per_tok"}, 8),
                         .ffn = expert_ffn,
                         .shared_ffn = expert_ffn * config.count({"n_shared_experts"}, 1)};
  const std::int64_t dense = config.count({"first_k_dense_replace"}, 3);
  for (std::int64_t i = 0; i < dims.layers; ++i) dims.layer_is_moe.push_back(i >= dense);
  dims.activation = read_activation(config, {"hidden_act"}, "silu");
  dims.tied_embeddings = config.flag({"tie_word_embeddings"}, defaults.tied);
  dims.attention_dropout = config.number({"attention_dropout"}, 0, 1);
}

}  // namespace shardsim
