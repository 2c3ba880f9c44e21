// Bytes of quantized weights, as the libraries allocate them.
#include "model/adapter.hpp"
#include "model/core/units.hpp"

namespace shardsim {

namespace {

constexpr std::int64_t block = 64;          // bitsandbytes' blocksize of 4-bit weights
constexpr std::int64_t nested_block = 256;  // and of the scales under double quantization
constexpr std::int64_t gptq_group = 128;

}  // namespace

QuantizedBytes quantized_bytes(Quantization kind, std::int64_t rows, std::int64_t columns) {
  std::int64_t elements = 0;
  if (__builtin_mul_overflow(rows, columns, &elements)) throw_overflow("a tensor's size");
  const std::int64_t blocks = ceil_div(elements, block);
  switch (kind) {
    case Quantization::nf4_dq:
      return {ceil_div(elements, 2), blocks + 4 * ceil_div(blocks, nested_block) + 4};
    case Quantization::nf4:
    case Quantization::fp4:
      return {ceil_div(elements, 2), 4 * blocks};
    case Quantization::int8:
      return {elements, 4 * rows};
    case Quantization::gptq4: {
      const std::int64_t groups = ceil_div(columns, gptq_group);
      return {ceil_div(elements, 2), 2 * groups * rows + ceil_div(groups * rows, 2) + 4 * columns};
    }
  }
  return {};
}

}  // namespace shardsim
