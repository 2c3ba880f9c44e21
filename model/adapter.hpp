// Parameter-efficient fine-tuning: what is added to a frozen base, and how the base is stored.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace shardsim {

class Architecture;
enum class Family : std::uint8_t;

enum class PeftKind : std::uint8_t { none, lora, qlora, dora, qdora, adapter, prompt };

/// Which of the base's biases are trained beside an adapter: PEFT's `bias`.
enum class TrainedBiases : std::uint8_t { none, all, lora_only };

/// Storage of a frozen, quantized base.
enum class Quantization : std::uint8_t { nf4_dq, nf4, fp4, int8, gptq4 };

struct Peft {
  PeftKind kind = PeftKind::none;
  std::int64_t rank = 16;
  std::vector<std::string> targets;   ///< module names; {"all-linear"}; empty: PEFT's default for the model family
  std::string target_pattern;         ///< a regular expression over whole module names, in place of `targets`
  std::vector<std::string> excluded;  ///< module names that are no targets
  std::string excluded_pattern;       ///< likewise, over whole names
  std::vector<std::int64_t> layers;   ///< decoder layers whose modules are targets; empty: all
  std::vector<std::pair<std::string, std::int64_t>> rank_pattern;  ///< expressions over names' ends, and their ranks
  bool adapter_bias = false;                                       ///< lora_bias: lora_B has one
  TrainedBiases biases = TrainedBiases::none;
  std::vector<std::string> saved_modules;  ///< modules_to_save: ends of names; what they name is copied and trained
  double dropout = 0;
  bool fp32_adapters = true;  ///< PEFT's autocast_adapter_dtype
  Quantization quantization = Quantization::nf4_dq;
  bool quantized_base = false;  ///< whatever the method: the model's own config.json says so
  std::optional<bool>
      kbit_upcast;  ///< prepare_model_for_kbit_training casts what is not quantized to fp32; absent: the runtime's
  std::int64_t virtual_tokens = 20;  ///< prompt tuning
  std::int64_t reduction = 16;       ///< adapter: hidden size over the bottleneck's

  bool any() const { return kind != PeftKind::none; }
  bool low_rank() const {
    return kind == PeftKind::lora || kind == PeftKind::qlora || kind == PeftKind::dora || kind == PeftKind::qdora;
  }
  bool quantizes() const { return kind == PeftKind::qlora || kind == PeftKind::qdora || quantized_base; }
  bool decomposes() const { return kind == PeftKind::dora || kind == PeftKind::qdora; }
  /// Tokens that stand in front of each sequence.
  std::int64_t prompt_length() const { return kind == PeftKind::prompt ? virtual_tokens : 0; }
  bool operator==(const Peft&) const = default;
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
/// names that they have inside of PEFT's model (without its "base_model.model." in front); added parameters stand
/// behind the base's:
///  LoRA, DoRA: "...q_proj" becomes "...q_proj.base_layer" beside "...q_proj.lora_A.default", "...lora_B.default" and
///              DoRA's "...lora_magnitude_vector.default";
///  prompt:     "prompt_encoder.default.embedding", a vector for each virtual token;
///  adapter:    AdapterHub's double_seq_bn (adapters 1.3, Houlsby et al. 2019): after attention and after the mlp of
///              each layer a projection down, SiLU and a projection up, "...attention_adapters.adapters.default" and
///              "...output_adapters.adapters.default".
/// A module of `saved_modules`, or each part of it that has parameters, becomes "...original_module", which stays
/// frozen and no longer runs, beside "...modules_to_save.default", a trained copy in the original's type; no adapter
/// goes there. Biases are trained in the base's type, too. Throws InputError for targets that match no linear module,
/// for saved modules that the model does not have or that are quantized, for families that need targets and got none,
/// and for models that the method does not fit.
Architecture apply_adapter(Architecture model, const Peft& peft);

}  // namespace shardsim
