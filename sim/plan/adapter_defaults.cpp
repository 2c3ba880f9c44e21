#include "sim/plan/adapter_defaults.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "model/core/error.hpp"
#include "sim/plan/strategies/strategies.hpp"
#include "sim/request/choices.hpp"

namespace shardsim {
namespace {

/// Nothing is sharded, and no runtime casts the parameters.
bool is_whole(const Request& request) {
  return request.kind == StrategyKind::single || request.kind == StrategyKind::ddp ||
         request.kind == StrategyKind::device_map;
}

void refuse_impossible(const Request& request) {
  const Peft& peft = request.peft;
  if (request.implementation == Implementation::megatron) {
    throw InputError("Megatron-LM trains every parameter: it has no adapters", "--peft, --implementation megatron",
                     "--implementation hf, torchtitan, liger or foak, or --peft none");
  }
  if (!peft.quantizes()) return;
  if (request.precision == Precision::fp8_mixed) {
    throw InputError(
        "torchao puts its Float8Linear in the place of bitsandbytes' layers too, and cannot multiply by their packed "
        "weights",
        "--peft, --precision fp8-mixed", "--precision bf16-mixed, or a base that is not quantized");
  }
  if (!keeps_master_weights(request.precision) && request.precision != Precision::bf16) {
    throw InputError("a quantized base computes in 16 bits", "--precision", "bf16-mixed, fp16-mixed or bf16");
  }
  if (peft.kbit_upcast.value_or(false) && !is_whole(request)) {
    throw InputError(request.strategy + " holds what is not quantized in 16 bits again: the upcast is undone",
                     "--kbit-upcast on", "off, or single, ddp or device-map");
  }
  if (is_fsdp(request.kind) && peft.quantization == Quantization::int8) {
    throw InputError(
        is_fsdp1(request.kind) ? "FSDP1 cannot flatten integer tensors"
                               : "FSDP2 makes plain parameters of bitsandbytes' int8 weights, which lose their scales",
        "--quantization int8, --strategy " + request.strategy, "a 4-bit base, which is stored as 16-bit elements");
  }
  if (request.offload.parameters_on_nvme) {
    throw InputError(
        "DeepSpeed reads weights into swap buffers of the model's type, where bitsandbytes cannot use quantized ones",
        "--peft, --strategy " + request.strategy, "zero3-nvme-optimizer, or --peft lora");
  }
}

bool trains_parts_of_base(const Peft& peft) {
  return peft.biases != TrainedBiases::none || !peft.saved_modules.empty();
}

bool trains_bias_of_frozen_weight(const Architecture& model, const Module& module) {
  return module.parameters.size() > 1 && !model.parameter(module.parameters.front()).trainable &&
         model.parameter(module.parameters.back()).trainable;
}

/// Biases and PEFT's copies of modules are trained in the type that the base was loaded in.
void refuse_trained_parts(const Request& request, const Architecture& model) {
  const bool any_in_base_type =
      std::any_of(model.parameters.begin(), model.parameters.end(),
                  [](const Parameter& parameter) { return parameter.trainable && !parameter.type; });
  if (is_whole(request) && request.precision == Precision::fp16_mixed && any_in_base_type) {
    throw InputError("PyTorch's GradScaler refuses to unscale FP16 gradients, which what PEFT trains of the base has",
                     "modules_to_save, bias, --precision fp16-mixed", "--precision bf16-mixed");
  }
  const bool mixes = std::any_of(model.modules.begin(), model.modules.end(),
                                 [&](const Module& module) { return trains_bias_of_frozen_weight(model, module); });
  if (is_fsdp1(request.kind) && !request.fsdp.use_orig_params && mixes) {
    throw InputError(
        "FSDP1 flattens a trained bias with its frozen weight: \"Must flatten tensors with uniform requires_grad when "
        "use_orig_params=False\"",
        "bias, --strategy " + request.strategy, "bias none, or fsdp_use_orig_params true in the accelerate file");
  }
}

void describe_trained_parts(const Peft& peft, std::vector<std::string>& assumptions) {
  if (!peft.saved_modules.empty()) {
    assumptions.emplace_back(
        "modules_to_save: PEFT keeps the original frozen beside a trained copy in the original's type; a container is "
        "copied part by part");
  }
  if (peft.biases != TrainedBiases::none) {
    assumptions.emplace_back("biases are trained in the type that the base was loaded in");
  }
}

void describe_method(const Request& request, std::vector<std::string>& assumptions) {
  const Peft& peft = request.peft;
  if (peft.decomposes()) {
    assumptions.push_back(
        "DoRA computes the norms of W + BA anew in each forward, from an identity matrix through A and B, as PEFT "
        "does");
  }
  if (peft.decomposes() && !peft.quantizes() && request.kind == StrategyKind::zero3) {
    assumptions.emplace_back(
        "ZeRO-3 holds a gathered weight until DoRA's norm has read it, one at a time: this is not simulated");
  }
  if (peft.kind == PeftKind::adapter) {
    assumptions.push_back(
        fmt::format("two bottlenecks a layer of the hidden size over {}, with SiLU: AdapterHub's double_seq_bn "
                    "(Houlsby et al. 2019)",
                    peft.reduction));
  }
  if (peft.kind == PeftKind::prompt) {
    assumptions.push_back(fmt::format(
        "{} virtual tokens stand in front of each sequence{}; throughput counts the others", peft.virtual_tokens,
        request.peft_config.empty() ? " (another number: a PEFT adapter_config.json)" : ""));
  }
}

void describe_base(const Request& request, std::vector<std::string>& assumptions) {
  const Peft& peft = request.peft;
  if (!peft.quantizes()) return;
  assumptions.emplace_back(
      "quantized weights are expanded whole before each product, in forward, recomputation and backward");
  if (*peft.kbit_upcast) {
    assumptions.emplace_back(
        "prepare_model_for_kbit_training casts norms, embeddings and the head to fp32; without it: --kbit-upcast off");
  }
  if (request.kind == StrategyKind::zero3) {
    assumptions.emplace_back("ZeRO-3 does not partition quantized weights: every rank holds all of them");
  } else if (is_fsdp(request.kind)) {
    assumptions.emplace_back(
        peft.quantization == Quantization::gptq4
            ? "GPTQ's packed weights are buffers, which FSDP leaves whole on every rank"
            : "quantized weights are stored as 16-bit elements, which FSDP shards; their scales are replicated");
  }
}

void describe_runtime(const Request& request, std::vector<std::string>& assumptions) {
  if (is_fsdp1(request.kind)) {
    assumptions.emplace_back(
        "each trained module without children is a FlatParameter of its own inside its layer's, which stays frozen and "
        "is gathered but not reduced (peft's fsdp_auto_wrap_policy, which the Trainer sets)");
  }
  if (request.precision == Precision::fp8_mixed) {
    assumptions.emplace_back(
        "Float8Linear keeps the input of a frozen layer too, computes its weight's gradient and drops it");
  }
}

void describe_wrapping(Request& request, std::vector<std::string>& assumptions) {
  if (!wraps_layers(request)) {
    assumptions.emplace_back(
        "Hugging Face's Trainer sets peft's wrap policy, which accelerate's FSDP2 does not know: all decoder layers "
        "are "
        "one unit, the root's, which is gathered at once and again for backward");
    return;
  }
  if (!is_fsdp2(request.kind) || !is_transformers(request.implementation)) return;
  request.warnings.emplace_back(
      "adapters under FSDP2: Hugging Face's Trainer sets peft's wrap policy, which accelerate's FSDP2 does not apply, "
      "so that all decoder layers are one unit and gathered at once; simulated is a unit a layer, as without the "
      "Trainer (with it: --accelerate and a file of fsdp_version 2)");
}

}  // namespace

bool trainer_autocasts(const Request& request) {
  return request.peft.any() && is_whole(request) && keeps_master_weights(request.precision);
}

void take_stored_quantization(Request& request, const Architecture& architecture,
                              std::vector<std::string>& assumptions) {
  if (!architecture.stored) return;
  const StoredQuantization& stored = *architecture.stored;
  const std::string where = architecture.name + ", quantization_config";
  for (const std::string& warning : stored.warnings) {
    request.warnings.push_back(fmt::format("{}: {}", where, warning));
  }
  if (stored.method == "fp8" || stored.method == "mxfp4") {
    request.warnings.push_back(
        fmt::format("{}: weights stored in {} are not trained as they are; they are taken as expanded to the "
                    "training's types first",
                    where, stored.method));
    return;
  }
  if (!stored.storage) {
    throw InputError(fmt::format("training over weights that {} quantized is not simulated", stored.method), where,
                     "bitsandbytes or gptq, or the model's unquantized config.json");
  }
  Peft& peft = request.peft;
  if (!peft.any()) {
    throw InputError("transformers fine-tunes no purely quantized model", where,
                     "--peft lora for adapters over it, or the model's unquantized config.json");
  }
  const std::string_view name = name_in(quantization_choices, *stored.storage);
  if (peft.quantizes() && peft.quantization != *stored.storage) {
    request.warnings.push_back(fmt::format("{}: the base is stored as {}, whatever --quantization says", where, name));
  }
  if (peft.kind == PeftKind::lora) peft.kind = PeftKind::qlora;
  if (peft.kind == PeftKind::dora) peft.kind = PeftKind::qdora;
  peft.quantization = *stored.storage;
  peft.quantized_base = true;
  if (peft.kind == PeftKind::qdora && peft.quantization == Quantization::gptq4) {
    throw InputError("PEFT has no DoRA over GPTQ's layers", where, "--peft lora");
  }
  assumptions.push_back(fmt::format("the base is quantized as its own config.json says: {} ({})", name, stored.method));
}

void choose_adapter_types(Request& request, const Architecture& base, std::vector<std::string>& assumptions) {
  Peft& peft = request.peft;
  if (!peft.any()) return;
  refuse_impossible(request);
  const bool mixed = keeps_master_weights(request.precision);
  const bool whole = is_whole(request);
  peft.fp32_adapters = whole && mixed;
  // prepare_model_for_kbit_training leaves GPTQ's models as they are (peft/utils/other.py).
  const bool upcasts =
      whole && mixed && request.implementation == Implementation::hf && peft.quantization != Quantization::gptq4;
  peft.kbit_upcast = peft.quantizes() && peft.kbit_upcast.value_or(upcasts);
  if (whole && mixed) {
    assumptions.emplace_back(
        "a frozen base in 16 bits, adapters in fp32, forward under autocast: what PEFT and Hugging Face's Trainer make "
        "of mixed precision; adapters in 16 bits without autocast: --precision bf16");
  } else if (mixed) {
    assumptions.emplace_back(
        "a frozen base in 16 bits; adapters compute in 16 bits and are updated in fp32, without autocast");
  }
  if (trains_parts_of_base(peft)) {
    refuse_trained_parts(request, apply_adapter(base, peft));
    describe_trained_parts(peft, assumptions);
  }
  describe_wrapping(request, assumptions);
  describe_method(request, assumptions);
  describe_runtime(request, assumptions);
  describe_base(request, assumptions);
}

}  // namespace shardsim
