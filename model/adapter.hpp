// Parameter-efficient fine-tuning: what is added to a frozen base, and how the base is stored.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shardsim {

class Architecture;
enum class Family : std::uint8_t;

enum class PeftKind : std::uint8_t { none, lora, qlora, dora, qdora, adapter, prompt };

/// Storage of a frozen, quantized base.
enum class Quantization : std::uint8_t { nf4_dq, nf4, fp4, int8, gptq4 };

struct Peft {
  PeftKind kind = PeftKind::none;
  std::int64_t rank = 16;
  std::vector<std::string> targets;  ///< module names; {"all-linear"}; empty: PEFT's default for the model family
  std::string target_pattern;        ///< a regular expression over whole module names, in place of `targets`
  double dropout = 0;
  bool fp32_adapters = true;  ///< PEFT's autocast_adapter_dtype
  Quantization quantization = Quantization::nf4_dq;
  std::optional<bool>
      kbit_upcast;  ///< prepare_model_for_kbit_training casts what is not quantized to fp32; absent: the runtime's
  std::int64_t virtual_tokens = 20;  ///< prompt tuning
  std::int64_t reduction = 16;       ///< adapter: hidden size over the bottleneck's

  bool any() const { return kind != PeftKind::none; }
  bool low_rank() const {
    return kind == PeftKind::lora || kind == PeftKind::qlora || kind == PeftKind::dora || kind == PeftKind::qdora;
  }
  bool quantizes() const { return kind == PeftKind::qlora || kind == PeftKind::qdora; }
  bool decomposes() const { return kind == PeftKind::dora || kind == PeftKind::qdora; }
};

/// What one quantized weight occupies.
struct QuantizedBytes {
  std::int64_t data = 0;
  std::int64_t statistics = 0;  ///< scales, and what they are scaled by
};
/// A weight of [rows, columns]:
///  nf4, fp4: half a byte an element and one fp32 a block of 64 (bitsandbytes functional.py, quantize_4bit);
///  nf4_dq:   those block scales in 8 bits, with one fp32 for 256 of them and one fp32 offset;
///  int8:     a byte an element and one fp32 a row (LLM.int8's SCB);
///  gptq4:    half a byte an element; for each group of 128 inputs and each output an fp16 scale and a 4-bit zero; an
///            int32 group index an input (AutoGPTQ's QuantLinear).
QuantizedBytes quantized_bytes(Quantization kind, std::int64_t rows, std::int64_t columns);

/// PEFT's default targets for LoRA (peft 0.17, utils/constants.py); empty where it has none for the family.
std::span<const std::string_view> default_targets(Family family);

/// `model` with its base frozen, quantized where the method does so (every nn.Linear and Conv1D but the head, as
/// transformers' bitsandbytes integration replaces them), and with the method's modules and parameters added under the
/// names that they have inside of PEFT's model (without its "base_model.model." in front): "...q_proj" becomes
/// "...q_proj.base_layer" beside "...q_proj.lora_A.default" and "...q_proj.lora_B.default". Added parameters stand
/// behind the base's. Targets match by suffix, as PEFT's do. Throws InputError for names that match no linear module,
/// and for families that need targets and got none.
Architecture apply_adapter(Architecture model, const Peft& peft);

}  // namespace shardsim
