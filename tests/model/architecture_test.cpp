#include <algorithm>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "model/architecture.hpp"
#include "model/config_text.hpp"
#include "model/precision.hpp"

using namespace shardsim;

namespace {

constexpr std::string_view small_llama = R"({"model_type": "llama", "hidden_size": 64, "intermediate_size": 96,
  "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 100})";

std::string all_modules(const Architecture& architecture, ModuleId from = ModuleId(0)) {
  const Module& module = architecture.module(from);
  std::string text = module.name + " " + module.class_name + "\n";
  for (const ModuleId child : module.children) text += all_modules(architecture, child);
  return text;
}

std::string lines_of(const nlohmann::json& strings) {
  std::string text;
  for (const auto& string : strings) text += string.get<std::string>() + "\n";
  return text;
}

}  // namespace

TEST_CASE("modules, their order of execution, parameters and their order are those of transformers") {
  const std::filesystem::path folder = std::filesystem::path(SHARDSIM_SOURCE) / "tests" / "model" / "recorded";
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    INFO(entry.path().filename().string());
    std::ifstream stream(entry.path());
    const nlohmann::json recorded = nlohmann::json::parse(stream);
    const Architecture built = architecture_of(recorded.at("config").dump());
    CHECK(all_modules(built) == lines_of(recorded.at("modules")));
    CHECK(parameters_under(built, "") == lines_of(recorded.at("parameters")));
    ++seen;
  }
  CHECK(seen == 23);
}

TEST_CASE("a Llama block fires thirteen hooks") {
  const Architecture llama = architecture_of(small_llama);
  CHECK(modules_run(llama, 1) ==
        " LlamaForCausalLM\n"
        "model LlamaModel\n"
        "model.embed_tokens Embedding\n"
        "model.rotary_emb LlamaRotaryEmbedding\n"
        "model.layers.1 LlamaDecoderLayer\n"
        "model.layers.1.input_layernorm LlamaRMSNorm\n"
        "model.layers.1.self_attn LlamaAttention\n"
        "model.layers.1.self_attn.q_proj Linear\n"
        "model.layers.1.self_attn.k_proj Linear\n"
        "model.layers.1.self_attn.v_proj Linear\n"
        "model.layers.1.self_attn.o_proj Linear\n"
        "model.layers.1.post_attention_layernorm LlamaRMSNorm\n"
        "model.layers.1.mlp LlamaMLP\n"
        "model.layers.1.mlp.gate_proj Linear\n"
        "model.layers.1.mlp.act_fn SiLUActivation\n"
        "model.layers.1.mlp.up_proj Linear\n"
        "model.layers.1.mlp.down_proj Linear\n"
        "model.norm LlamaRMSNorm\n"
        "lm_head Linear\n");
  CHECK(parameters_under(llama, "model.layers.0.") ==
        "self_attn.q_proj.weight 64x64\n"
        "self_attn.k_proj.weight 16x64\n"
        "self_attn.v_proj.weight 16x64\n"
        "self_attn.o_proj.weight 64x64\n"
        "mlp.gate_proj.weight 96x64\n"
        "mlp.up_proj.weight 96x64\n"
        "mlp.down_proj.weight 64x96\n"
        "input_layernorm.weight 64\n"
        "post_attention_layernorm.weight 64\n");
}

TEST_CASE("layers, kinds and widths stand on the modules") {
  const Architecture llama = architecture_of(small_llama);
  const std::vector<ModuleId> layers = llama.layer_modules();
  REQUIRE(layers.size() == 2);
  CHECK(llama.module(layers[1]).name == "model.layers.1");
  CHECK(llama.module(layers[1]).layer == 1);
  for (const Module& module : llama.modules) {
    const bool inside = module.name.find("layers.") != std::string::npos;
    CHECK(module.layer == (inside ? module.name[std::string("model.layers.").size()] - '0' : -1));
    const bool projects = module.name.ends_with("_proj") || module.name == "lm_head";
    CHECK((module.kind == ModuleKind::linear) == projects);
    if (!projects) continue;
    const Parameter& weight = llama.parameter(module.parameters.front());
    CHECK(weight.shape == std::vector<std::int64_t>{module.out_features, module.in_features});
  }
}

TEST_CASE("a tied head lists the embedding's weight, counted once") {
  const std::string untied(small_llama);
  const std::string tied = untied.substr(0, untied.size() - 1) + R"(, "tie_word_embeddings": true})";
  const Architecture apart = architecture_of(untied), shared = architecture_of(tied);
  CHECK(apart.parameter_count() - shared.parameter_count() == 100 * 64);
  const auto head = std::find_if(shared.modules.begin(), shared.modules.end(),
                                 [](const Module& module) { return module.name == "lm_head"; });
  REQUIRE(head != shared.modules.end());
  REQUIRE(head->parameters.size() == 1);
  CHECK(shared.parameter(head->parameters[0]).name == "model.embed_tokens.weight");
  CHECK(head->in_features == 64);
  CHECK(head->out_features == 100);
}

TEST_CASE("heads need not fill the hidden size") {
  const Architecture wide = architecture_of(R"({"model_type": "mistral", "hidden_size": 96, "intermediate_size": 128,
    "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 50})");
  CHECK(parameters_under(wide, "model.layers.0.self_attn.") ==
        "q_proj.weight 64x96\nk_proj.weight 32x96\nv_proj.weight 32x96\no_proj.weight 96x64\n");
  CHECK(wide.dims.q() == 64);
  CHECK(wide.dims.kv() == 32);
}

TEST_CASE("latent attention splits its projections by rank") {
  const Architecture deepseek = architecture_of(R"({"model_type": "deepseek_v3", "hidden_size": 64,
    "intermediate_size": 128, "moe_intermediate_size": 32, "num_hidden_layers": 2, "first_k_dense_replace": 1,
    "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 50, "n_routed_experts": 3,
    "num_experts_per_tok": 2, "n_shared_experts": 2, "q_lora_rank": 24, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 12, "v_head_dim": 10, "head_dim": 8})");
  CHECK(parameters_under(deepseek, "model.layers.0.self_attn.") ==
        "q_a_proj.weight 24x64\nq_a_layernorm.weight 24\nq_b_proj.weight 80x24\nkv_a_proj_with_mqa.weight 24x64\n"
        "kv_a_layernorm.weight 16\nkv_b_proj.weight 88x16\no_proj.weight 64x40\n");
  CHECK(parameters_under(deepseek, "model.layers.1.mlp.shared_experts.gate") == "_proj.weight 64x64\n");
  CHECK(parameters_under(deepseek, "model.layers.1.mlp.gate") == ".weight 3x64\n");
  CHECK(deepseek.dims.layer_is_moe == std::vector<bool>{false, true});
  CHECK(deepseek.dims.head_dim == 20);
}

TEST_CASE("llm-foundry's MPT has biases and a position table") {
  const Architecture mpt = architecture_of(R"({"model_type": "mpt", "d_model": 32, "n_heads": 4, "n_layers": 1,
    "expansion_ratio": 2, "max_seq_len": 64, "vocab_size": 50, "no_bias": false, "learned_pos_emb": true,
    "attn_config": {"attn_type": "multihead_attention", "alibi": false}})");
  CHECK(parameters_under(mpt, "transformer.") ==
        "wte.weight 50x32\nwpe.weight 64x32\n"
        "blocks.0.norm_1.weight 32\nblocks.0.norm_1.bias 32\n"
        "blocks.0.attn.Wqkv.weight 96x32\nblocks.0.attn.Wqkv.bias 96\n"
        "blocks.0.attn.out_proj.weight 32x32\nblocks.0.attn.out_proj.bias 32\n"
        "blocks.0.norm_2.weight 32\nblocks.0.norm_2.bias 32\n"
        "blocks.0.ffn.up_proj.weight 64x32\nblocks.0.ffn.up_proj.bias 64\n"
        "blocks.0.ffn.down_proj.weight 32x64\nblocks.0.ffn.down_proj.bias 32\n"
        "norm_f.weight 32\nnorm_f.bias 32\n");
}

TEST_CASE("number formats have the names that options use") {
  CHECK(name_of(DType::f32) == "fp32");
  CHECK(name_of(DType::bf16) == "bf16");
  CHECK(name_of(DType::f16) == "fp16");
  CHECK(name_of(DType::f8) == "fp8");
}
