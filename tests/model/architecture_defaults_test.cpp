// What a key that is not there means, and the several ways to spell one that is.
#include "catch.hpp"
#include "model/architecture.hpp"
#include "model/config_text.hpp"

using namespace shardsim;

namespace {

/// A config of one layer with Llama's spelling; `extra` starts with a comma.
std::string llama_like(std::string_view model_type, std::string_view extra = "") {
  return R"({"model_type": ")" + std::string(model_type) +
         R"(", "hidden_size": 512, "intermediate_size": 640, "num_hidden_layers": 1, "num_attention_heads": 32,
              "vocab_size": 1000)" +
         std::string(extra) + "}";
}

std::string falcon(std::string_view extra) {
  return R"({"model_type": "falcon", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 8,
             "vocab_size": 100)" +
         std::string(extra) + "}";
}

}  // namespace

TEST_CASE("absent keys take the family's defaults") {
  struct Expected {
    std::string model_type;
    std::int64_t kv_heads, head_dim, max_positions;
    bool tied;
    std::int64_t sliding_window;
  };
  // transformers 4.57, models/*/configuration_*.py
  const Expected expected =
      GENERATE(Expected{"llama", 32, 16, 2048, false, 0}, Expected{"mistral", 8, 16, 131072, false, 4096},
               Expected{"mixtral", 8, 16, 131072, false, 0}, Expected{"qwen2", 32, 16, 32768, false, 0},
               Expected{"qwen3", 32, 128, 32768, false, 0}, Expected{"qwen3_moe", 4, 16, 32768, false, 0},
               Expected{"gemma", 16, 256, 8192, true, 0}, Expected{"gemma2", 4, 256, 8192, true, 4096},
               Expected{"gemma3_text", 4, 256, 131072, true, 4096}, Expected{"phi3", 32, 16, 4096, false, 0});
  INFO(expected.model_type);
  const Dimensions dims = dimensions_of(llama_like(expected.model_type));
  CHECK(dims.kv_heads == expected.kv_heads);
  CHECK(dims.head_dim == expected.head_dim);
  CHECK(dims.max_positions == expected.max_positions);
  CHECK(dims.tied_embeddings == expected.tied);
  CHECK(dims.sliding_window == expected.sliding_window);
  CHECK(dims.rotary_dim == expected.head_dim);
  CHECK(dims.embedding_dim == 512);
  CHECK(dims.norm == NormKind::rms);
}

TEST_CASE("null is not the default") {
  CHECK(dimensions_of(llama_like("mistral", R"(, "num_key_value_heads": null)")).kv_heads == 32);
  CHECK(dimensions_of(llama_like("mistral", R"(, "sliding_window": null)")).sliding_window == 0);
  CHECK(dimensions_of(llama_like("gemma2")).attention_softcap == 50);
  CHECK(dimensions_of(llama_like("gemma2")).final_softcap == 30);
  CHECK(dimensions_of(llama_like("gemma2", R"(, "attn_logit_softcapping": null)")).attention_softcap == 0);
  CHECK(dimensions_of(llama_like("llama", R"(, "head_dim": null)")).head_dim == 16);
}

TEST_CASE("biases: Qwen2 always has them on q, k and v, others when asked") {
  const Dimensions qwen2 = dimensions_of(llama_like("qwen2"));
  CHECK((qwen2.attention_bias && !qwen2.output_bias && !qwen2.mlp_bias));
  const Dimensions llama = dimensions_of(llama_like("llama", R"(, "attention_bias": true, "mlp_bias": true)"));
  CHECK((llama.attention_bias && llama.output_bias && llama.mlp_bias));
  const Dimensions plain = dimensions_of(llama_like("llama"));
  CHECK((!plain.attention_bias && !plain.output_bias && !plain.mlp_bias));
}

TEST_CASE("what a family is known by") {
  const Dimensions gemma2 = dimensions_of(llama_like("gemma2"));
  CHECK((gemma2.sandwich_norms && gemma2.embedding_scale && !gemma2.qk_norm));
  CHECK(gemma2.activation == Activation::gelu_tanh);
  const Dimensions gemma3 = dimensions_of(llama_like("gemma3_text"));
  CHECK((gemma3.sandwich_norms && gemma3.qk_norm && gemma3.attention_softcap == 0));
  CHECK((dimensions_of(llama_like("qwen3")).qk_norm && !dimensions_of(llama_like("qwen2")).qk_norm));
  const Dimensions phi3 = dimensions_of(llama_like("phi3"));
  CHECK((phi3.fused_qkv && phi3.fused_gate_up));
  CHECK(dimensions_of(llama_like("mixtral")).experts->count == 8);
  CHECK(dimensions_of(llama_like("mixtral")).experts->ffn == 640);
  CHECK(dimensions_of(llama_like("qwen3_moe")).experts->ffn == 768);
}

TEST_CASE("which layers see only a window") {
  const std::string six = R"({"model_type": "%", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 6,
    "num_attention_heads": 4, "vocab_size": 100, "num_key_value_heads": 4 @})";
  const auto sliding = [&](std::string_view model_type, std::string_view extra) {
    std::string text = six;
    text.replace(text.find('%'), 1, model_type);
    text.replace(text.find('@'), 1, extra);
    return dimensions_of(text).layer_is_sliding;
  };
  using Layers = std::vector<bool>;
  CHECK(sliding("llama", "") == Layers{});
  CHECK(sliding("mistral", "") == Layers(6, true));
  CHECK(sliding("gemma2", "") == Layers{true, false, true, false, true, false});
  CHECK(sliding("gemma3_text", "") == Layers{true, true, true, true, true, false});
  CHECK(sliding("gemma3_text", R"(, "_sliding_window_pattern": 2)") == Layers{true, false, true, false, true, false});
  CHECK(sliding("qwen2", R"(, "sliding_window": 64)") == Layers{});
  CHECK(sliding("qwen2", R"(, "use_sliding_window": true, "max_window_layers": 4)") ==
        Layers{false, false, false, false, true, true});
  CHECK(sliding("gemma2", R"(, "layer_types": ["full_attention", "sliding_attention", "full_attention",
    "full_attention", "full_attention", "full_attention"])") == Layers{false, true, false, false, false, false});
}

TEST_CASE("the nested form of published Gemma 3 configs leaves most to the defaults") {
  const Architecture gemma = architecture_of(R"({"architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3", "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"},
    "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
      "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024}})");
  CHECK(gemma.parameter_count() == 3880263168);
  CHECK(gemma.dims.vocab == 262208);
  CHECK(gemma.dims.heads == 8);
  REQUIRE(gemma.warnings.size() == 1);
  CHECK(gemma.warnings.front().find("vision_config is not simulated") != std::string::npos);
}

TEST_CASE("a nested config's ties may stand outside, its type too") {
  const Dimensions dims = dimensions_of(R"({"model_type": "llama", "tie_word_embeddings": true, "text_config":
    {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 9}})");
  CHECK(dims.family == Family::llama);
  CHECK(dims.tied_embeddings);
}

TEST_CASE("transformers 5 writes the same facts with other keys") {
  const Dimensions neox = dimensions_of(R"({"model_type": "gpt_neox", "hidden_size": 64, "intermediate_size": 256,
    "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 9, "dtype": "float16",
    "rope_parameters": {"partial_rotary_factor": 0.5, "rope_theta": 10000.0, "rope_type": "default"}})");
  CHECK(neox.rotary_dim == 8);
  const Dimensions gemma = dimensions_of(llama_like("gemma3_text", R"(, "dtype": "bfloat16", "rope_parameters":
    {"full_attention": {"rope_theta": 1000000.0}, "sliding_attention": {"rope_theta": 10000.0}})"));
  CHECK(gemma.rotary_dim == 256);
  // The class writes its rotary part as head_dim.
  const Dimensions deepseek = dimensions_of(llama_like("deepseek_v3", R"(, "num_key_value_heads": 32, "head_dim": 64,
    "n_routed_experts": 8, "qk_head_dim": 192)"));
  CHECK(deepseek.head_dim == 192);
}

TEST_CASE("whole numbers may be written as floats") {
  CHECK(dimensions_of(llama_like("llama", R"(, "max_position_embeddings": 5e3)")).max_positions == 5000);
  CHECK(dimensions_of(llama_like("llama", R"(, "max_position_embeddings": 4096.0)")).max_positions == 4096);
}

TEST_CASE("GPT-2's spelling and defaults") {
  const Dimensions dims = dimensions_of(R"({"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4,
    "vocab_size": 100})");
  CHECK(dims.ffn == 256);
  CHECK(dims.max_positions == 1024);
  CHECK((dims.tied_embeddings && dims.learned_positions && !dims.rotary && dims.fused_qkv && !dims.gated_mlp));
  CHECK((dims.attention_bias && dims.output_bias && dims.mlp_bias && dims.norm_bias));
  CHECK(dims.dropout == 0.1);
  CHECK(dims.attention_dropout == 0.1);
  CHECK(dims.activation == Activation::gelu_new);
  CHECK(dims.norm == NormKind::layer);
  const Dimensions aliased = dimensions_of(R"({"model_type": "gpt2", "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "vocab_size": 100, "n_inner": 128, "resid_pdrop": 0})");
  CHECK((aliased.hidden == 64 && aliased.layers == 2 && aliased.heads == 4 && aliased.ffn == 128));
  CHECK(aliased.dropout == 0);
}

TEST_CASE("Falcon's keys and values") {
  CHECK(dimensions_of(falcon("")).kv_heads == 1);
  CHECK(dimensions_of(falcon(R"(, "num_kv_heads": 8)")).kv_heads == 1);
  CHECK(dimensions_of(falcon(R"(, "multi_query": false)")).kv_heads == 8);
  const Dimensions fresh = dimensions_of(falcon(R"(, "new_decoder_architecture": true, "n_head_kv": 2)"));
  CHECK((fresh.kv_heads == 2 && fresh.two_norms_in_parallel && fresh.parallel_residual));
  CHECK_FALSE(dimensions_of(falcon(R"(, "new_decoder_architecture": true, "num_ln_in_parallel_attn": 1)"))
                  .two_norms_in_parallel);
  const Dimensions rw = dimensions_of(R"({"model_type": "falcon", "n_embed": 64, "n_layer": 1, "n_head": 8,
    "vocab_size": 9, "alibi": true, "bias": true, "multi_query": false, "parallel_attn": false})");
  CHECK((rw.alibi && !rw.rotary && rw.rotary_dim == 0 && rw.mlp_bias && !rw.parallel_residual && rw.ffn == 256));
}

TEST_CASE("OPT, BLOOM, MPT") {
  const Dimensions opt = dimensions_of(R"({"model_type": "opt", "hidden_size": 64, "ffn_dim": 256,
    "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 9, "word_embed_proj_dim": 32,
    "do_layer_norm_before": false})");
  CHECK((opt.post_norm && !opt.final_norm && opt.embedding_dim == 32 && !opt.fused_qkv && opt.tied_embeddings));
  CHECK(opt.activation == Activation::relu);
  const Dimensions bloom = dimensions_of(R"({"model_type": "bloom", "n_embed": 64, "n_layer": 1,
    "num_attention_heads": 4, "vocab_size": 9})");
  CHECK((bloom.alibi && bloom.embedding_norm && bloom.ffn == 256 && bloom.tied_embeddings));
  const Dimensions mpt = dimensions_of(R"({"model_type": "mpt", "d_model": 64, "n_heads": 4, "n_layers": 1,
    "vocab_size": 9, "learned_pos_emb": true})");
  CHECK((mpt.alibi && !mpt.learned_positions && !mpt.attention_bias && !mpt.norm_bias && mpt.ffn == 256));
}

TEST_CASE("which layers of a mixture are dense") {
  const Dimensions dims = dimensions_of(R"({"model_type": "qwen3_moe", "hidden_size": 64, "intermediate_size": 64,
    "num_hidden_layers": 6, "num_attention_heads": 4, "vocab_size": 100, "num_experts": 16,
    "decoder_sparse_step": 2, "mlp_only_layers": [3]})");
  CHECK(dims.layer_is_moe == std::vector<bool>{false, true, false, false, false, true});
}
