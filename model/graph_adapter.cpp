// Modules under adapters: what lora.Linear and lora.Linear4bit run on top of the frozen product, AdapterHub's
// bottlenecks, and prompt tuning's virtual tokens.
// Sources: peft 0.21, src/peft/tuners/lora/layer.py, bnb.py and peft_model.py; adapters 1.3, methods/modeling.py.
#include <algorithm>

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

// LoRA_QKV and LoRA_W of fms_acceleration_foak/fused_ops/unsloth_lora/*/fast_lora.py, an operator each: x and what
// dropout made of it are kept, for each module apart, and no mask; the update is a tensor of its own for a moment.
Tensor GraphBuilder::fused_low_rank(ModuleId wrapper, const Tensor& x) {
  const std::vector<ModuleId>& parts = architecture_.module(wrapper).children;
  const Module& base = architecture_.module(parts[base_layer]);
  const Module& a = architecture_.module(parts[lora_a]);
  const Module& b = architecture_.module(parts[lora_b]);
  const Parameter& weight = architecture_.parameter(base.parameters.front());
  const std::int64_t rows = x.numel / base.in_features, rank = a.out_features;
  const auto run_function = [&] {
    const bool drops = options_.adapter_dropout > 0;
    const Tensor dropped = drops ? make(x.numel, x.type, false) : x;
    const Tensor y = make(rows * base.out_features, x.type);
    Operator& op = run("lora", {x}, {y}, {x, dropped}, {a.parameters.front(), b.parameters.front()});
    if (drops) op.outputs.push_back(dropped.id);
    const std::int64_t expanded = weight.quantization ? weight.numel * size_of(x.type) : 0;
    const Kernel expand =
        memory_kernel(x.type, static_cast<double>(weight.quantization ? weight.stored_bytes(x.type) + expanded : 0));
    const auto pass = [&](std::int64_t bytes) { return memory_kernel(x.type, static_cast<double>(bytes)); };
    const auto product = [&](std::int64_t m, std::int64_t n, std::int64_t k) { return matmul_kernel(x.type, m, n, k); };
    const std::int64_t in = base.in_features, out = base.out_features;
    op.forward = {expand, product(rows, out, in), product(rows, rank, in), product(rows, out, rank),
                  pass(3 * y.bytes())};
    if (drops) op.forward.push_back(pass(2 * x.bytes()));
    op.scratch = std::max(expanded, y.bytes());
    op.backward = {expand, product(rows, in, out), product(rows, rank, out), product(rows, in, rank),
                   pass(8 * x.bytes())};
    op.weight_backward = {product(in, rank, rows), product(rank, in, rows), product(rank, out, rows)};
    op.backward_scratch = expanded + 2 * x.bytes() + x.numel;
    if (drops) drop(dropped);
    return y;
  };
  return call(parts[base_layer],
              [&] { return call(parts[lora_a], [&] { return call(parts[lora_b], run_function); }); });
}

Tensor GraphBuilder::low_rank(const std::vector<ModuleId>& wrappers, const Tensor& input) {
  const bool decomposes = architecture_.module(wrappers.front()).children.size() > magnitude;
  const std::vector<ModuleId>& parts = architecture_.module(wrappers.front()).children;
  const bool biases = trains(architecture_.module(parts[base_layer]).parameters) ||
                      architecture_.module(parts[lora_b]).parameters.size() > 1;
  // framework_plugin_fast_kernels.py omits "fused_lora" where the base is not quantized.
  const bool fusible =
      architecture_.parameter(architecture_.module(parts[base_layer]).parameters.front()).quantization.has_value() &&
      wrappers.size() == 1 && !decomposes && !biases;
  if (options_.implementation == Implementation::foak && fusible) {
    return fused_low_rank(wrappers.front(), input);
  }
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
