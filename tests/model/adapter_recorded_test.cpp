// Adapters of the real libraries on small models: what is trained and what one layer keeps for backward. Recorded by
// tests/oracle/adapters.py on 2026-11-21 with torch 2.13 (CPU), transformers 4.57.1, peft 0.21.2, bitsandbytes 0.50.2
// and adapters 1.3.0: weights in bf16, 2 sequences of 128 tokens, layer 1 of 3. Absent: gpt2 under autocast, whose pow
// the CPU's autocast treats otherwise.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "graph_walk.hpp"
#include "model/operators.hpp"

using namespace shardsim;

namespace {

const std::string llama = R"("model_type": "llama", "hidden_size": 256, "intermediate_size": 704,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 3)";
const std::string qwen2 = R"("model_type": "qwen2", "hidden_size": 256, "intermediate_size": 704,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 3)";
const std::string gpt2 = R"("model_type": "gpt2", "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0,
    "n_embd": 256, "n_head": 4, "n_positions": 512, "n_layer": 3)";

Architecture read(const std::string& keys) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "shardsim_adapter_recorded.json";
  std::ofstream(path) << "{" << keys << ", \"vocab_size\": 512}";
  const Architecture architecture = read_architecture(path);
  std::filesystem::remove(path);
  return architecture;
}

enum Mode { autocast, fp32_adapters, bf16 };

std::int64_t saved(const Architecture& model, const Peft& peft, Mode mode) {
  GraphOptions options;
  options.micro_batch = 2;
  options.seq_len = 128 + peft.prompt_length();
  options.virtual_tokens = peft.prompt_length();
  options.precision = mode == bf16 ? Precision::bf16 : Precision::bf16_mixed;
  options.autocast = mode == autocast;
  options.attention = AttentionKind::sdpa;
  options.adapter_dropout = peft.dropout;
  return saved_bytes_of_layer(build_graph(model, options), model, 1);
}

const std::vector<std::string> all = {"all-linear"};

Peft method(PeftKind kind, std::vector<std::string> targets, double dropout = 0) {
  Peft peft;
  peft.kind = kind;
  peft.rank = 8;
  peft.targets = std::move(targets);
  peft.dropout = dropout;
  peft.kbit_upcast = false;
  return peft;
}

Peft upcast(Peft peft) {
  peft.kbit_upcast = true;
  return peft;
}

Peft biased(Peft peft) {
  peft.adapter_bias = true;
  return peft;
}

Peft patterned(Peft peft) {
  peft.excluded_pattern = R"(.*\.k_proj)";
  peft.layers = {1, 2};
  peft.rank_pattern = {{"2.self_attn.q_proj", 4}};
  return peft;
}

/// LoRA of rank 8 on PEFT's default targets.
Peft saving(std::vector<std::string> modules) {
  Peft peft = method(PeftKind::lora, {});
  peft.saved_modules = std::move(modules);
  return peft;
}

Peft training(TrainedBiases biases) {
  Peft peft = method(PeftKind::lora, {});
  peft.biases = biases;
  return peft;
}

struct Row {
  const std::string& model;
  Peft peft;
  std::int64_t trainable;
  std::vector<std::int64_t> saved;  ///< under autocast, without it, with adapters in bf16; 0 where not recorded
};

const std::vector<Row> rows = {
    {llama, method(PeftKind::lora, all), 112'128, {3'255'296, 4'356'096, 2'656'256}},
    {llama, biased(method(PeftKind::lora, all)), 119'424, {3'255'296, 4'356'096, 2'656'256}},
    {llama, patterned(method(PeftKind::lora, {"q_proj", "k_proj"})), 6'144, {1'881'088, 2'012'160, 1'876'992}},
    {llama, method(PeftKind::lora, {}), 21'504, {2'289'664, 2'545'664, 2'144'256}},
    {llama, method(PeftKind::dora, all), 119'424, {5'774'848, 8'120'832, 5'161'216}},
    {llama, method(PeftKind::dora, {}), 22'656, {2'687'488, 3'140'096, 2'539'776}},
    {llama, method(PeftKind::dora, all, 0.1), 119'424, {9'543'168, 14'608'896, 6'832'384}},
    {llama, method(PeftKind::dora, {}, 0.1), 22'656, {3'408'384, 4'254'208, 2'932'992}},
    {qwen2, method(PeftKind::dora, {}), 22'656, {2'687'488, 3'140'096, 2'539'776}},
    {qwen2, method(PeftKind::dora, {}, 0.1), 22'656, {3'408'384, 4'254'208, 2'932'992}},
    {gpt2, method(PeftKind::lora, {}), 24'576, {0, 3'160'064, 3'024'896}},
    {gpt2, method(PeftKind::dora, {}), 26'880, {0, 4'348'928, 4'209'152}},
    {gpt2, method(PeftKind::dora, {}, 0.1), 26'880, {0, 5'790'720, 4'340'224}},
    {llama, method(PeftKind::prompt, {}), 5'120, {2'318'272, 2'318'272, 2'318'272}},
    {gpt2, method(PeftKind::prompt, {}), 5'120, {0, 3'341'248, 3'341'248}},
    {llama, method(PeftKind::qlora, all), 112'128, {2'731'008, 4'356'096, 0}},
    {llama, upcast(method(PeftKind::qlora, all)), 112'128, {4'205'568, 4'782'080, 0}},
    {llama, method(PeftKind::qdora, all), 119'424, {7'838'720, 8'120'832, 0}},
    {llama, upcast(method(PeftKind::qdora, all)), 119'424, {7'838'720, 9'792'000, 0}},
    {llama, method(PeftKind::adapter, {}), 50'784, {2'332'672, 0, 2'299'904}},
    {gpt2, method(PeftKind::adapter, {}), 50'784, {0, 0, 3'184'640}},
    {llama, saving({"lm_head"}), 152'576, {2'289'664, 2'545'664, 2'144'256}},
    {llama, saving({"embed_tokens", "lm_head"}), 283'648, {2'289'664, 2'545'664, 2'144'256}},
    {llama, saving({"input_layernorm"}), 22'272, {2'420'736, 2'676'736, 2'275'328}},
    {llama, saving({"q_proj"}), 205'824, {2'277'376, 2'406'400, 2'140'160}},
    {llama, saving({"mlp"}), 1'643'520, {2'781'184, 3'037'184, 2'635'776}},
    {gpt2, saving({"wte"}), 155'648, {0, 3'160'064, 3'024'896}},
    {gpt2, training(TrainedBiases::all), 33'280, {0, 3'160'064, 3'024'896}},
    {gpt2, training(TrainedBiases::lora_only), 26'880, {0, 3'160'064, 3'024'896}},
    {qwen2, training(TrainedBiases::all), 23'040, {2'289'664, 2'545'664, 2'144'256}},
    {qwen2, training(TrainedBiases::lora_only), 22'656, {2'289'664, 2'545'664, 2'144'256}},
};

/// On a CPU dropout keeps its mask in the type of its input, on a GPU in a byte an element.
std::int64_t wider_masks(const Architecture& model, const Peft& peft, Mode mode) {
  if (peft.dropout == 0) return 0;
  std::int64_t inputs = 0;
  for (const Module& module : model.modules) {
    if (module.layer == 1 && module.class_name.starts_with("lora.")) inputs += module.in_features;
  }
  return 2 * 128 * inputs * (mode == bf16 ? 1 : 3);
}

}  // namespace

TEST_CASE("adapters train and keep what the real libraries' do") {
  for (const Row& row : rows) {
    INFO(row.model << " method " << static_cast<int>(row.peft.kind) << ", dropout " << row.peft.dropout);
    for (const Mode mode : {autocast, fp32_adapters, bf16}) {
      if (row.saved[mode] == 0) continue;
      INFO("mode " << mode);
      Peft peft = row.peft;
      peft.fp32_adapters = mode != bf16;
      const Architecture model = apply_adapter(read(row.model), peft);
      CHECK(model.trainable_count() == row.trainable);
      CHECK(static_cast<double>(saved(model, peft, mode)) ==
            Approx(static_cast<double>(row.saved[mode] - wider_masks(model, peft, mode))).epsilon(0.0025));
    }
  }
}

// One lora.Linear of [1024, 512] over 64 tokens: bytes that its forward allocates at its fullest, from the memory
// events of torch.profiler (torch 2.13, peft 0.21.2, on a CPU).
TEST_CASE("DoRA's forward passes through the peak that was measured") {
  const std::string one_wide_projection = R"("model_type": "llama", "hidden_size": 512, "intermediate_size": 512,
      "num_attention_heads": 16, "head_dim": 64, "num_key_value_heads": 8, "num_hidden_layers": 1)";
  constexpr std::int64_t tokens = 64, in = 512, mask_on_cpu = 3, mask_in_bf16 = 1;
  const auto peak = [&](Mode mode, double dropout) {
    Peft peft = method(PeftKind::dora, {"q_proj"}, dropout);
    peft.fp32_adapters = mode != bf16;
    const Architecture model = apply_adapter(read(one_wide_projection), peft);
    GraphOptions options;
    options.seq_len = tokens;
    options.precision = mode == bf16 ? Precision::bf16 : Precision::bf16_mixed;
    options.autocast = mode == autocast;
    options.input_requires_gradient = true;
    options.adapter_dropout = dropout;
    const Graph graph = build_graph(model, options);
    test::Walk walk(graph);
    std::int64_t before = -1, most = 0;
    bool inside = false;
    walk.forward([&](const Operator& op, std::int64_t live) {
      if (op.name == "base_layer") {
        inside = true;
        before = live - graph.value(op.outputs.front()).bytes - op.scratch;
      }
      if (inside) most = std::max(most, live);
      if (op.name == "lora_add") inside = false;
    });
    return most - before;
  };
  CHECK(peak(fp32_adapters, 0) == 9'715'712);
  CHECK(peak(bf16, 0) == 3'809'280);
  // Autocast's copies of A and B are made by the first product that they are in; the graph makes them in the second.
  constexpr std::int64_t copies_of_adapters = 2 * 8 * (512 + 1024);
  CHECK(peak(autocast, 0) == 9'207'808 - copies_of_adapters);
  CHECK(peak(fp32_adapters, 0.1) == 9'977'856 - mask_on_cpu * tokens * in);
  CHECK(peak(bf16, 0.1) == 3'940'352 - mask_in_bf16 * tokens * in);
  CHECK(peak(autocast, 0.1) == 9'469'952 - copies_of_adapters - mask_on_cpu * tokens * in);
}
