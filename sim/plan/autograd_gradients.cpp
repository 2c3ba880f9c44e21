// Backward of single operators: whose gradients are allocated, summed, shared and let go when.
#include <algorithm>
#include <utility>

#include "model/core/check.hpp"
#include "sim/cost/constants.hpp"
#include "sim/plan/autograd.hpp"

namespace shardsim {
namespace {

bool is_product(const std::vector<Kernel>& kernels) {
  return std::any_of(kernels.begin(), kernels.end(), [](const Kernel& k) { return k.kind == KernelKind::matmul; });
}

bool has_bias(const Architecture& architecture, const Operator& op) {
  return op.parameters.size() == 2 && is_product(op.weight_backward) &&
         architecture.parameter(op.parameters[1]).shape.size() == 1;
}

}  // namespace

void Autograd::release_gradient(std::uint32_t buffer) {
  if (buffer == no_gradient) return;
  GradientBuffer& gradient = gradients_[buffer];
  if (--gradient.owners == 0) recorder_.reset(gradient.storage);
}

void Autograd::run_backward(const Operator& op) {
  if (!op.compiled) recorder_.spend(cost_constants().hooks.autograd_node);
  read_scalar(op);
  if (op.gradients.empty()) {
    backpropagate(op);
  } else {
    hand_over(op);
  }
}

// Forward computed the gradients: they change owners.
void Autograd::hand_over(const Operator& op) {
  std::vector<TensorId> gradients;
  for (const ValueId value : op.gradients) {
    gradients.push_back(std::exchange(values_[value.index()].storage, TensorId{}));
  }
  for (const ValueId saved : op.saved) drop(saved);
  for (std::size_t i = 0; i < op.parameters.size(); ++i) {
    receive_parameter_gradient(op, op.parameters[i], gradients[i + 1]);
  }
  gradients_.push_back({gradients.front(), 1, false});
  receive_gradient(op.inputs.front(), static_cast<std::uint32_t>(gradients_.size() - 1));
}

void Autograd::backpropagate(const Operator& op) {
  const std::string place = place_of(op) + " backward";
  std::vector<std::uint32_t> outgoing;
  for (const ValueId input : op.inputs) {
    if (!graph_.value(input).needs_gradient) {
      outgoing.push_back(no_gradient);
      continue;
    }
    if (op.passes_gradient) {
      const std::uint32_t shared = values_[op.outputs.front().index()].gradient;
      SHARDSIM_CHECK(shared != no_gradient, "a gradient arrives before its node runs");
      ++gradients_[shared].owners;
      outgoing.push_back(shared);
      continue;
    }
    const Value& value = graph_.value(input);
    gradients_.push_back(
        {recorder_.allocate_from_graph(category_of(value), gradient_bytes(value), place, amounts_.gradient(input)), 1,
         is_product(op.backward)});
    outgoing.push_back(static_cast<std::uint32_t>(gradients_.size() - 1));
  }
  if (!op.passes_gradient) {
    TensorId scratch;
    if (op.backward_scratch > 0) {
      scratch = recorder_.allocate_from_graph(Category::workspace, op.backward_scratch, place,
                                              amounts_.backward_scratch(index_of(op)));
    }
    run_kernels(op.backward, op.name, amounts_.backward(index_of(op)));
    recorder_.reset(scratch);
  }
  const std::vector<TensorId> fresh = allocate_parameter_gradients(op);
  run_kernels(op.weight_backward, op.name, amounts_.weight_backward(index_of(op)));

  for (const ValueId output : op.outputs) {
    release_gradient(values_[output.index()].gradient);
    values_[output.index()].gradient = no_gradient;
  }
  for (const ValueId saved : op.saved) drop(saved);

  if (has_bias(architecture_, op)) {
    // addmm's first input is the bias, and what arrives first is handed on first.
    receive_parameter_gradient(op, op.parameters[1], fresh[1]);
    receive_parameter_gradient(op, op.parameters[0], fresh[0]);
  } else {
    for (std::size_t i = 0; i < fresh.size(); ++i) receive_parameter_gradient(op, op.parameters[i], fresh[i]);
  }
  for (std::size_t i = 0; i < op.inputs.size(); ++i) receive_gradient(op.inputs[i], outgoing[i]);
}

std::vector<TensorId> Autograd::allocate_parameter_gradients(const Operator& op) {
  std::vector<TensorId> gradients;
  for (const ParameterId parameter : op.parameters) {
    const Parameter& trained = architecture_.parameter(parameter);
    const std::int64_t bytes = trained.numel * size_of(trained.type.value_or(gradient_type_));
    gradients.push_back(recorder_.allocate(Category::gradients, bytes, "grad of " + place_of(op)));
  }
  return gradients;
}

void Autograd::receive_parameter_gradient(const Operator& op, ParameterId parameter, TensorId gradient) {
  GradientBuffer& held = parameter_gradients_[parameter.index()];
  if (!held.storage.valid()) {
    held = {gradient, 1, is_product(op.weight_backward)};
  } else {
    const std::int64_t bytes = recorder_.bytes_of(gradient);
    const TensorId sum =
        held.is_view ? recorder_.allocate(Category::gradients, bytes, "grad of " + place_of(op)) : held.storage;
    recorder_.elementwise(gradient_sum_bytes(bytes), "grad add");
    if (held.is_view) recorder_.release(held.storage);
    recorder_.release(gradient);
    held = {sum, 1, false};
  }
  if (--parameter_uses_left_[parameter.index()] > 0) return;
  const TensorId complete = held.storage;
  held = {};
  strategy_.gradient_ready(parameter, complete);
}

void Autograd::receive_gradient(ValueId value, std::uint32_t buffer) {
  if (buffer == no_gradient) return;
  std::uint32_t& held = values_[value.index()].gradient;
  if (held == no_gradient) {
    held = buffer;
    return;
  }
  if (graph_.value(value).gradients_fused) {
    if (gradients_[held].owners > 1) std::swap(held, buffer);
    release_gradient(buffer);
    return;
  }
  const std::int64_t bytes = gradient_bytes(graph_.value(value));
  const AmountId amount = amounts_.gradient(value);
  if (gradients_[held].owners > 1 || gradients_[held].is_view) {
    const TensorId sum = recorder_.allocate_from_graph(category_of(graph_.value(value)), bytes, "grad add", amount);
    gradients_.push_back({sum, 1, false});
    recorder_.sum_from_graph(bytes, "grad add", amount);
    release_gradient(held);
    held = static_cast<std::uint32_t>(gradients_.size() - 1);
  } else {
    recorder_.sum_from_graph(bytes, "grad add", amount);
  }
  release_gradient(buffer);
}

}  // namespace shardsim
