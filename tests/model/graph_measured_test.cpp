// What one decoder layer of the real modules keeps for backward, against the graph's figure. Measured on 2026-11-21
// with torch 2.13 (CPU) and transformers 4.57.1: torch.autograd.graph.saved_tensors_hooks around layer 1 of 3, each
// storage once; parameters, and storages that all three layers keep (cos, sin), left out. Vocabulary 512, 2 sequences
// of 128 tokens. On the CPU layer_norm keeps bf16 statistics (4 B a token less), and what SDPA would do otherwise than
// on a GPU (falcon, deepseek_v3), what the models lack (bloom's SDPA) and what autocast treats otherwise (gpt2's pow)
// is absent.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "model/operators.hpp"

using namespace shardsim;

namespace {

constexpr std::int64_t none = 0;

struct Row {
  std::string config;
  struct {
    std::int64_t bf16_sdpa, bf16_eager, fp32_eager, autocast_eager;
  } bytes;
};

const std::vector<Row> rows = {
    {R"("model_type": "llama", "hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 4,
         "num_key_value_heads": 2)",
     {2889728, 3803136, 6031360, 5933056}},
    {R"("model_type": "llama", "hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 4,
         "num_key_value_heads": 4)",
     {3020800, 3803136, 6031360, 6064128}},
    {R"("model_type": "mistral", "hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 4,
         "num_key_value_heads": 2, "sliding_window": null)",
     {2889728, 3803136, 6031360, 5933056}},
    {R"("model_type": "qwen2", "hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 4,
         "num_key_value_heads": 2)",
     {2889728, 3803136, 6031360, 5933056}},
    {R"("model_type": "qwen3", "hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 64)",
     {3485696, 4399104, 6823936, 6529024}},
    {R"("model_type": "gemma", "hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 4,
         "num_key_value_heads": 1, "head_dim": 64)",
     {3088384, 4067328, 6033408, 5869568}},
    {R"("model_type": "gemma2", "hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 64, "sliding_window": 4096, "query_pre_attn_scalar": 64)",
     {4206592, 5382144, 7610368, 7249920}},
    {R"("model_type": "gemma3_text", "hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 64, "sliding_window": 4096)",
     {4999680, 5913088, 7879168, 7780864}},
    {R"("model_type": "phi3", "hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 4,
         "num_key_value_heads": 2, "pad_token_id": 0, "sliding_window": null)",
     {3217408, 3803136, 6031360, 5539840}},
    {R"("model_type": "gpt2", "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "n_embd": 256,
         "n_head": 4, "n_positions": 512)",
     {3676160, 3934210, 7868420, none}},
    {R"("model_type": "gpt_neox", "hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4,
         "use_parallel_residual": true)",
     {2365440, 2754560, 4460544, 4460544}},
    {R"("model_type": "falcon", "hidden_size": 256, "num_attention_heads": 4, "multi_query": true,
         "parallel_attn": true, "bias": false, "alibi": false, "new_decoder_architecture": false)",
     {none, 2098192, 4196368, 4261904}},
    {R"("model_type": "opt", "hidden_size": 256, "ffn_dim": 1024, "num_attention_heads": 4,
         "word_embed_proj_dim": 256, "max_position_embeddings": 512, "dropout": 0.0)",
     {1579008, 2361344, 3674112, 4460544}},
    {R"("model_type": "bloom", "hidden_size": 256, "n_head": 4)", {none, 2885632, 4722688, 4722688}},
    {R"("model_type": "mixtral", "hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 4,
         "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2)",
     {5138432, 6051840, 10509312, 11822080}},
    {R"("model_type": "qwen3_moe", "hidden_size": 256, "intermediate_size": 704, "moe_intermediate_size": 128,
         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "num_experts": 8,
         "num_experts_per_tok": 2, "decoder_sparse_step": 1, "mlp_only_layers": [])",
     {3376128, 4289536, 6584320, 7309312}},
    {R"("model_type": "deepseek_v3", "hidden_size": 256, "intermediate_size": 704,
         "moe_intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 4,
         "n_routed_experts": 8, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "n_shared_experts": 1,
         "first_k_dense_replace": 0, "q_lora_rank": 96, "kv_lora_rank": 64, "qk_rope_head_dim": 32,
         "qk_nope_head_dim": 64, "v_head_dim": 64)",
     {none, 4953088, 7107584, 7473664}},
};

Architecture read(const std::string& keys) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "shardsim_graph_measured.json";
  std::ofstream(path) << "{" << keys << ", \"vocab_size\": 512, "
                      << (keys.find("gpt2") != std::string::npos || keys.find("bloom") != std::string::npos
                              ? "\"n_layer\": 3}"
                              : "\"num_hidden_layers\": 3}");
  const Architecture architecture = read_architecture(path);
  std::filesystem::remove(path);
  return architecture;
}

double saved(const Architecture& model, Precision precision, AttentionKind attention) {
  GraphOptions options;
  options.micro_batch = 2;
  options.seq_len = 128;
  options.precision = precision;
  options.attention = attention;
  return static_cast<double>(saved_bytes_of_layer(build_graph(model, options), model, 1));
}

}  // namespace

TEST_CASE("saved bytes of a layer are those of the real modules") {
  for (const Row& row : rows) {
    const Architecture model = read(row.config);
    CAPTURE(row.config);
    const auto matches = [&](std::int64_t measured, Precision precision, AttentionKind attention) {
      if (measured == none) return;
      CHECK(saved(model, precision, attention) == Approx(static_cast<double>(measured)).epsilon(0.005));
    };
    matches(row.bytes.bf16_sdpa, Precision::bf16, AttentionKind::sdpa);
    matches(row.bytes.bf16_eager, Precision::bf16, AttentionKind::eager);
    matches(row.bytes.fp32_eager, Precision::fp32, AttentionKind::eager);
    matches(row.bytes.autocast_eager, Precision::amp_bf16, AttentionKind::eager);
  }
}
