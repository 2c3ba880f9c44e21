// Tensors as PyTorch users call them.
#pragma once

#include <string>

#include "sim/plan/plan.hpp"

namespace shardsim {

/// "layers.3.up_proj"; the label alone outside the decoder layers.
std::string tensor_name(const Plan& plan, const Tensor& tensor);

}  // namespace shardsim
