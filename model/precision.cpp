#include "model/precision.hpp"

namespace shardsim {

std::string_view name_of(DType type) {
  switch (type) {
    case DType::f32:
      return "fp32";
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "fp16";
    case DType::f8:
      return "fp8";
  }
  return "";
}

}  // namespace shardsim
