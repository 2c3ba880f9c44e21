#include "sim/report/tensor_name.hpp"

#include <fmt/format.h>

namespace shardsim {

std::string tensor_name(const Plan& plan, const Tensor& tensor) {
  const std::string label = tensor.label.valid() ? plan.labels[tensor.label.index()] : std::string("tensor");
  return tensor.layer < 0 ? label : fmt::format("layers.{}.{}", tensor.layer, label);
}

}  // namespace shardsim
