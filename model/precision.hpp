// Number formats, and which of them a training precision uses where.
#pragma once

#include <cstdint>
#include <string_view>

namespace shardsim {

enum class DType : std::uint8_t { f32, bf16, f16, f8 };

/// Bytes of one element.
constexpr std::int64_t size_of(DType type) {
  switch (type) {
    case DType::f32:
      return 4;
    case DType::bf16:
    case DType::f16:
      return 2;
    case DType::f8:
      return 1;
  }
  return 0;
}
std::string_view name_of(DType type);

enum class Precision : std::uint8_t {
  bf16_mixed,  ///< bf16 compute, fp32 master weights
  fp16_mixed,  ///< fp16 compute, fp32 master weights, loss scaling
  amp_bf16,    ///< autocast to bf16 over fp32 weights
  bf16,        ///< everything in bf16, the optimizer's state included
  fp32,
  fp8_mixed,  ///< bf16-mixed with the linear layers' products in fp8
};

/// The type of activations and of matrix products' operands.
constexpr DType compute_type(Precision precision) {
  switch (precision) {
    case Precision::fp16_mixed:
      return DType::f16;
    case Precision::fp32:
      return DType::f32;
    default:
      return DType::bf16;
  }
}
/// True where the optimizer updates an fp32 copy beside 16-bit weights (or fp32 shards cast on use).
constexpr bool keeps_master_weights(Precision precision) {
  return precision == Precision::bf16_mixed || precision == Precision::fp16_mixed || precision == Precision::fp8_mixed;
}

}  // namespace shardsim
