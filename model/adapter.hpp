// Parameter-efficient fine-tuning: what is added to a frozen base, and how the base is stored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shardsim {

enum class PeftKind : std::uint8_t { none, lora, qlora, dora, qdora, adapter, prompt };

/// Storage of a frozen, quantized base.
enum class Quantization : std::uint8_t { nf4_dq, nf4, fp4, int8, gptq4 };

struct Peft {
  PeftKind kind = PeftKind::none;
  std::int64_t rank = 16;
  std::vector<std::string> targets;  ///< module names; {"all-linear"}; empty: PEFT's default for the model family
  double dropout = 0;
  bool fp32_adapters = true;         ///< PEFT's autocast_adapter_dtype
  Quantization quantization = Quantization::nf4_dq;
  bool kbit_upcast = true;           ///< prepare_model_for_kbit_training casts what is not quantized to fp32
};

}  // namespace shardsim
