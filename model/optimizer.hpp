// The optimizers that update the parameters.
#pragma once

#include <cstdint>

namespace shardsim {

enum class OptimizerKind : std::uint8_t {
  adamw,
  adamw_8bit,        ///< bitsandbytes, blockwise 8-bit moments
  paged_adamw,       ///< bitsandbytes, 32-bit moments in managed memory
  paged_adamw_8bit,
  adamw_bf16,        ///< moments in bf16
  adafactor,
  lion,
  lion_8bit,
  muon,
  sgd,
  sgd_momentum,
};

}  // namespace shardsim
