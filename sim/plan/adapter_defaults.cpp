#include "sim/plan/adapter_defaults.hpp"

#include "model/core/error.hpp"

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
                     "--implementation hf, torchtitan or liger, or --peft none");
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
  if (is_fsdp1(request.kind) && peft.quantization == Quantization::int8) {
    throw InputError("FSDP1 cannot flatten integer tensors", "--quantization int8, --strategy " + request.strategy,
                     "a 4-bit base, which is stored as 16-bit elements");
  }
  if (request.offload.parameters_on_nvme) {
    throw InputError(
        "DeepSpeed reads weights into swap buffers of the model's type, where bitsandbytes cannot use quantized ones",
        "--peft, --strategy " + request.strategy, "zero3-nvme-optimizer, or --peft lora");
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
        "quantized weights are stored as 16-bit elements, which FSDP shards; their scales are replicated");
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

}  // namespace

bool trainer_autocasts(const Request& request) {
  return request.peft.any() && is_whole(request) && keeps_master_weights(request.precision);
}

void choose_adapter_types(Request& request, std::vector<std::string>& assumptions) {
  Peft& peft = request.peft;
  if (!peft.any()) return;
  refuse_impossible(request);
  const bool mixed = keeps_master_weights(request.precision);
  const bool whole = is_whole(request);
  peft.fp32_adapters = whole && mixed;
  const bool upcasts = whole && mixed && request.implementation == Implementation::hf;
  peft.kbit_upcast = peft.quantizes() && peft.kbit_upcast.value_or(upcasts);
  if (whole && mixed) {
    assumptions.emplace_back(
        "a frozen base in 16 bits, adapters in fp32, forward under autocast: what PEFT and Hugging Face's Trainer make "
        "of "
        "mixed precision; adapters in 16 bits without autocast: --precision bf16");
  } else if (mixed) {
    assumptions.emplace_back(
        "a frozen base in 16 bits; adapters compute in 16 bits and are updated in fp32, without autocast");
  }
  describe_runtime(request, assumptions);
  describe_base(request, assumptions);
}

}  // namespace shardsim
