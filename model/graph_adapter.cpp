// Modules under adapters: what lora.Linear and lora.Linear4bit run on top of the frozen product, AdapterHub's
// bottlenecks, and prompt tuning's virtual tokens.
// Sources: peft 0.21, src/peft/tuners/lora/layer.py, bnb.py and peft_model.py; adapters 1.3, methods/modeling.py.
#include "model/graph_builder.hpp"

namespace shardsim::graph {

namespace {

// The children of a wrapper, in the order in which apply_adapter adds them.
enum : std::size_t { base_layer, lora_dropout, lora_a, lora_b, magnitude };

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
  const bool decomposes = architecture_.module(wrappers.front()).children.size() > magnitude;
  const bool drops = options_.adapter_dropout > 0;
  const auto run_dropout = [&] { return dropout(x, options_.adapter_dropout); };
  const Tensor dropped = decomposes && !drops ? x : call(child(lora_dropout).front(), run_dropout);
  Tensor update;
  if (decomposes) {
    update =
        dora(wrappers, {child(base_layer), child(lora_a), child(lora_b), child(magnitude)}, dropped, result, drops);
    drop_unless(dropped, x);
  } else {
    const Tensor narrow = run_linear(child(lora_a), dropped);
    drop_unless(dropped, x);
    const Tensor wide = run_linear(child(lora_b), narrow);
    drop(narrow);
    const Tensor scaled = elementwise("scale", {wide}, wide.numel, wide.type);
    drop(wide);
    update = quantized && converts ? cast(scaled, result_type) : scaled;
    drop_unless(scaled, update);
  }
  const Tensor sum = add("lora_add", result, update);
  drop(update);
  drop(result);
  const Tensor y = quantized && !converts ? sum : cast(sum, result_type);
  drop_unless(sum, y);
  drop_unless(x, input);
  return y;
}

Tensor GraphBuilder::bottleneck(ModuleId layer, const Tensor& states) {
  enum : std::size_t { down, non_linearity, up };
  const ModuleId adapter = architecture_.module(layer).children.front();
  const std::vector<ModuleId>& parts = architecture_.module(adapter).children;
  return call(layer, [&] {
    return call(adapter, [&] {
      const Tensor narrow = linear(parts[down], states);
      const Tensor active = call(parts[non_linearity],
                                 [&] { return elementwise("silu", {narrow}, narrow.numel, narrow.type, {narrow}); });
      drop(narrow);
      const Tensor wide = linear(parts[up], active);
      const Tensor scaled = elementwise("scale", {wide}, wide.numel, wide.type);
      drop(wide);
      const Tensor result = add("adapter_residual", scaled, states);
      drop(scaled);
      drop(active);
      return result;
    });
  });
}

Tensor GraphBuilder::prepend_prompt(ModuleId prompt, const Tensor& embedded) {
  const std::int64_t width = architecture_.parameter(architecture_.module(prompt).parameters.front()).shape.back();
  const Tensor vectors = embedding(prompt, std::nullopt, options_.micro_batch * options_.virtual_tokens);
  const Tensor prompts = cast(vectors, embedded.type);
  drop_unless(vectors, prompts);
  const Tensor all = elementwise("cat", {prompts, embedded}, tokens_ * width, embedded.type);
  drop(prompts);
  return all;
}

}  // namespace shardsim::graph
