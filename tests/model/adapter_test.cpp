// What adapters add: trainable parameters as PEFT counts them, and the bytes that a layer keeps for backward.
// The per-token formulas were measured with saved-tensor hooks on Hugging Face's Llama block under PEFT (PyTorch 1.13
// on a CPU, fused norms and 4-bit products emulated from their sources).
#include "model/adapter.hpp"

#include <filesystem>
#include <string>

#include "catch.hpp"
#include "model/architecture.hpp"
#include "model/core/error.hpp"
#include "model/operators.hpp"

using namespace shardsim;

namespace {

Architecture zoo(std::string_view name) {
  return load_architecture(name, std::filesystem::path(SHARDSIM_SOURCE) / "model/zoo");
}

Peft lora(std::int64_t rank, std::vector<std::string> targets) {
  Peft peft;
  peft.kind = PeftKind::lora;
  peft.rank = rank;
  peft.targets = std::move(targets);
  return peft;
}

constexpr std::int64_t h = 4096, q = 4096, kv = 1024, f = 14336, heads = 32, tokens = 512;

/// Bytes that layer 1 of Llama-3-8B keeps, without what each token adds beside its widths (norms' 1/rms, attention's
/// log-sum-exp) and without autocast's 16-bit copies of the adapters' weights.
std::int64_t kept_per_token(const Peft& peft, bool autocast) {
  const Architecture model = apply_adapter(zoo("llama-3-8b"), peft);
  GraphOptions options;
  options.seq_len = tokens;
  options.precision = autocast ? Precision::bf16_mixed : Precision::bf16;
  options.autocast = autocast;
  std::int64_t bytes = saved_bytes_of_layer(build_graph(model, options), model, 1);
  if (autocast) bytes -= 2 * model.trainable_count() / model.dims.layers;
  REQUIRE(bytes % tokens == 0);
  return bytes / tokens - 2 * 4 - 4 * heads;
}

}  // namespace

TEST_CASE("trainable parameters are those that PEFT prints") {
  const std::vector<std::string> attention = {"q_proj", "k_proj", "v_proj", "o_proj"};
  CHECK(apply_adapter(zoo("mistral-7b"), lora(16, attention)).trainable_count() == 13'631'488);
  CHECK(apply_adapter(zoo("llama-2-7b"), lora(8, {})).trainable_count() == 4'194'304);  // q_proj, v_proj by default
  CHECK(apply_adapter(zoo("llama-3-8b"), lora(16, {"all-linear"})).trainable_count() == 41'943'040);
  CHECK(apply_adapter(zoo("gpt2"), lora(8, {})).trainable_count() == 294'912);  // c_attn: 12 * 8 * (768 + 2304)
}

TEST_CASE("the base is frozen and keeps its parameters under PEFT's names") {
  const Architecture base = zoo("llama-2-7b");
  const Architecture model = apply_adapter(base, lora(8, {}));
  CHECK(model.parameter_count() - model.trainable_count() == base.parameter_count());
  for (std::size_t i = 0; i < base.parameters.size(); ++i) CHECK_FALSE(model.parameters[i].trainable);
  const auto has = [&](std::string_view name) {
    return std::any_of(model.parameters.begin(), model.parameters.end(),
                       [&](const Parameter& parameter) { return parameter.name == name; });
  };
  CHECK(has("model.layers.0.self_attn.q_proj.base_layer.weight"));
  CHECK(has("model.layers.31.self_attn.v_proj.lora_A.default.weight"));
  CHECK(has("model.layers.31.self_attn.k_proj.weight"));
  CHECK_FALSE(has("model.layers.0.self_attn.q_proj.weight"));
}

TEST_CASE("targets that name nothing are refused with the names that would do") {
  CHECK_THROWS_WITH(
      apply_adapter(zoo("llama-2-7b"), lora(8, {"c_attn"})),
      Catch::Contains("no linear module 'c_attn'") && Catch::Contains("gate_proj") && Catch::Contains("all-linear"));
  CHECK_THROWS_AS(apply_adapter(zoo("llama-2-7b"), lora(8, {"lm_head"})), InputError);
  CHECK_THROWS_WITH(apply_adapter(zoo("phi-3-mini"), lora(8, {})), Catch::Contains("no default targets"));
  Peft pattern = lora(8, {});
  pattern.target_pattern = R"(.*\.layers\.[01]\.self_attn\.(q|v)_proj)";
  CHECK(apply_adapter(zoo("llama-2-7b"), pattern).trainable_count() == 2 * 2 * 8 * 8192);
  pattern.target_pattern = "(unclosed";
  CHECK_THROWS_AS(apply_adapter(zoo("llama-2-7b"), pattern), InputError);
}

TEST_CASE("quantized weights take the bytes that bitsandbytes allocates") {
  const auto bytes = [](Quantization kind) {
    const QuantizedBytes parts = quantized_bytes(kind, 4096, 4096);
    return parts.data + parts.statistics;
  };
  CHECK(bytes(Quantization::nf4) == 8'388'608 + 4 * 262'144);  // 4.5 bit
  CHECK(bytes(Quantization::fp4) == bytes(Quantization::nf4));
  CHECK(bytes(Quantization::nf4_dq) == 8'388'608 + 262'144 + 4096 + 4);  // 4.127 bit
  CHECK(bytes(Quantization::int8) == 16'777'216 + 4 * 4096);
  CHECK(bytes(Quantization::gptq4) == 8'388'608 + 32 * 4096 * 5 / 2 + 4 * 4096);
  CHECK(quantized_bytes(Quantization::nf4_dq, 1, 65).data == 33);  // each part is rounded up
  CHECK(quantized_bytes(Quantization::nf4_dq, 1, 65).statistics == 2 + 4 + 4);
}

TEST_CASE("only linear modules inside of the model are quantized") {
  Peft peft = lora(16, {"all-linear"});
  peft.kind = PeftKind::qlora;
  peft.kbit_upcast = true;
  const Architecture model = apply_adapter(zoo("llama-3-8b"), peft);
  std::int64_t quantized = 0, upcast = 0;
  for (const Parameter& parameter : model.parameters) {
    if (parameter.quantization) quantized += parameter.numel;
    if (!parameter.quantization && !parameter.trainable && parameter.type == DType::f32) upcast += parameter.numel;
  }
  CHECK(quantized == 32 * (2 * h * q + 2 * h * kv + 3 * h * f));
  CHECK(upcast == 2 * 128256 * h + 65 * h);  // embedding, head, norms
}

TEST_CASE("a layer under LoRA keeps what was measured") {
  Peft peft = lora(16, {"all-linear"});
  CHECK(kept_per_token(peft, true) == 18 * h + 6 * q + 4 * kv + 8 * f + 14 * 16);
  CHECK(kept_per_token(peft, false) == 28 * h + 8 * q + 4 * kv + 10 * f + 28 * 16);
  peft.fp32_adapters = false;
  CHECK(kept_per_token(peft, false) == 12 * h + 4 * q + 4 * kv + 8 * f + 14 * 16);
  CHECK(kept_per_token(lora(16, {}), false) == 16 * h + 4 * q + 4 * kv + 6 * f + 8 * 16);
}

TEST_CASE("a layer under QLoRA keeps what was measured") {
  Peft peft = lora(16, {"all-linear"});
  peft.kind = PeftKind::qlora;
  peft.kbit_upcast = false;
  CHECK(kept_per_token(peft, true) == 12 * h + 4 * q + 4 * kv + 8 * f + 14 * 16);
  peft.kbit_upcast = true;
  CHECK(kept_per_token(peft, true) == 18 * h + 4 * q + 4 * kv + 14 * f + 14 * 16);
}

TEST_CASE("adapter dropout keeps a mask beside the copy that it replaces") {
  Peft peft = lora(16, {"all-linear"});
  const Architecture model = apply_adapter(zoo("llama-3-8b"), peft);
  GraphOptions options;
  options.seq_len = tokens;
  options.precision = Precision::bf16;
  const std::int64_t without = saved_bytes_of_layer(build_graph(model, options), model, 1);
  options.adapter_dropout = 0.05;
  const std::int64_t with = saved_bytes_of_layer(build_graph(model, options), model, 1);
  CHECK(with - without == tokens * (5 * h + q + f));
}

TEST_CASE("frozen weights cost four FLOPs a token, trained ones six") {
  const Architecture base = zoo("llama-2-7b");
  const Architecture model = apply_adapter(base, lora(8, {}));
  const double products = static_cast<double>(base.parameter_count() - 32000 * 4096 - 65 * 4096);
  CHECK(model_flops_per_token(base, 1) - model_flops_per_token(model, 1) ==
        Approx(2 * products - 6.0 * static_cast<double>(model.trainable_count())));
}

TEST_CASE("without anything trainable below, the first layer's input takes no part in backward") {
  const Architecture model = apply_adapter(zoo("llama-2-7b"), lora(8, {}));
  GraphOptions options;
  options.seq_len = tokens;
  const auto embedded = [&](const Graph& graph) {
    for (const Operator& op : graph.operators) {
      if (op.name == "embed_tokens") return graph.value(op.outputs.front()).needs_gradient;
    }
    return false;
  };
  CHECK_FALSE(embedded(build_graph(model, options)));
  options.input_requires_gradient = true;
  CHECK(embedded(build_graph(model, options)));
}
