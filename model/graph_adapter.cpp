// Linear modules under PEFT's adapters: what lora.Linear, lora.Linear4bit and DoRA run on top of the frozen product.
// Sources: peft 0.17, src/peft/tuners/lora/layer.py, bnb.py, dora.py.
#include "model/graph_builder.hpp"

namespace shardsim::graph {

namespace {

// The children of a wrapper, in the order in which apply_adapter adds them.
enum : std::size_t { base_layer, lora_dropout, lora_a, lora_b };

}  // namespace

Tensor GraphBuilder::run_linear(const std::vector<ModuleId>& modules, const Tensor& input) {
  if (modules.size() > 1) return product(modules, input);
  return call(modules.front(), [&] { return product(modules, input); });
}

Tensor GraphBuilder::low_rank(const std::vector<ModuleId>& wrappers, const Tensor& input) {
  const auto child = [&](std::size_t n) {
    std::vector<ModuleId> children;
    for (const ModuleId wrapper : wrappers) children.push_back(architecture_.module(wrapper).children[n]);
    return children;
  };
  const auto weight_of = [&](std::size_t n) { return architecture_.module(child(n).front()).parameters.front(); };
  const bool quantized = architecture_.parameter(weight_of(base_layer)).quantization.has_value();
  Tensor result = run_linear(child(base_layer), input);
  const DType result_type = result.type;
  if (quantized) {  // "defensively clone", lora/bnb.py
    const Tensor clone = elementwise("clone", {result}, result.numel, result.type);
    drop(result);
    result = clone;
  }
  // Autocast would lower it again: each module then keeps a 16-bit copy of its own.
  const bool converts = !quantized || !autocasts();
  const Tensor x = converts ? cast(input, type_of(weight_of(lora_a))) : input;
  const Tensor dropped = call(child(lora_dropout).front(), [&] { return dropout(x, options_.adapter_dropout); });
  const Tensor narrow = run_linear(child(lora_a), dropped);
  drop_unless(dropped, x);
  const Tensor wide = run_linear(child(lora_b), narrow);
  drop(narrow);
  const Tensor scaled = elementwise("scale", {wide}, wide.numel, wide.type);
  drop(wide);
  const Tensor update = quantized && converts ? cast(scaled, result_type) : scaled;
  drop_unless(scaled, update);
  const Tensor sum = add("lora_add", result, update);
  drop(update);
  drop(result);
  const Tensor y = cast(sum, result_type);
  drop_unless(sum, y);
  drop_unless(x, input);
  return y;
}

}  // namespace shardsim::graph
