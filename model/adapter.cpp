#include "model/adapter.hpp"

#include <algorithm>

#include "model/adapter_targets.hpp"
#include "model/architecture.hpp"
#include "model/core/error.hpp"
#include "model/core/units.hpp"

namespace shardsim {

namespace {

std::string_view last_name(std::string_view module) {
  const std::size_t dot = module.rfind('.');
  return dot == std::string_view::npos ? module : module.substr(dot + 1);
}

/// Adds modules and parameters behind those of the base.
class Extension {
 public:
  Extension(Architecture& model, const Peft& peft)
      : model_(model), type_(peft.fp32_adapters ? std::optional(DType::f32) : std::nullopt) {}

  ModuleId add(ModuleId parent, std::string_view name, std::string_view class_name, ModuleKind kind) {
    Module added;
    added.name = model_.module(parent).name;
    if (!added.name.empty()) added.name += '.';
    added.name += name;
    added.class_name = class_name;
    added.kind = kind;
    added.parent = parent;
    added.layer = model_.module(parent).layer;
    const ModuleId id(model_.modules.size());
    model_.modules.push_back(std::move(added));
    model_.modules[parent.index()].children.push_back(id);
    return id;
  }
  void parameter(ModuleId owner, std::string_view name, std::vector<std::int64_t> shape) {
    Parameter added;
    added.name = model_.module(owner).name + "." + std::string(name);
    added.numel = 1;
    for (const std::int64_t extent : shape) {
      if (__builtin_mul_overflow(added.numel, extent, &added.numel)) throw_overflow("an adapter's size");
    }
    added.shape = std::move(shape);
    added.type = type_;
    model_.modules[owner.index()].parameters.emplace_back(model_.parameters.size());
    model_.parameters.push_back(std::move(added));
  }
  void linear(ModuleId parent, std::string_view name, std::int64_t in, std::int64_t out, bool bias) {
    const ModuleId id = add(parent, name, "Linear", ModuleKind::linear);
    model_.modules[id.index()].in_features = in;
    model_.modules[id.index()].out_features = out;
    parameter(id, "weight", {out, in});
    if (bias) parameter(id, "bias", {out});
  }

 private:
  Architecture& model_;
  std::optional<DType> type_;
};

/// PEFT's lora.Linear takes the module's place; the module becomes its base_layer.
void add_low_rank(Architecture& model, Extension& extension, ModuleId target, const Peft& peft) {
  const Module original = model.module(target);
  const std::int64_t rank = rank_of(original.name, peft);
  const ModuleId base = extension.add(target, "base_layer", original.class_name, ModuleKind::linear);
  Module& inner = model.modules[base.index()];
  inner.in_features = original.in_features;
  inner.out_features = original.out_features;
  inner.parameters = original.parameters;
  for (const ParameterId id : inner.parameters) {
    Parameter& parameter = model.parameters[id.index()];
    parameter.name = inner.name + "." + std::string(last_name(parameter.name));
  }
  Module& wrapper = model.modules[target.index()];
  wrapper.class_name = "lora." + original.class_name;
  wrapper.parameters.clear();
  extension.add(target, "lora_dropout.default", peft.dropout > 0 ? "Dropout" : "Identity", ModuleKind::dropout);
  extension.linear(target, "lora_A.default", original.in_features, rank, false);
  extension.linear(target, "lora_B.default", rank, original.out_features, peft.adapter_bias);
  if (!peft.decomposes()) return;
  const ModuleId magnitude =
      extension.add(target, "lora_magnitude_vector.default", "DoraLinearLayer", ModuleKind::container);
  extension.parameter(magnitude, "weight", {original.out_features});
}

void refuse_trained_biases(const Architecture& model, const std::vector<ModuleId>& targets) {
  for (const ModuleId target : targets) {
    if (model.module(target).parameters.size() < 2) continue;
    throw InputError("training the biases of " + model.name + " beside adapters is not simulated yet", "bias", "none");
  }
}

void add_prompt(Architecture& model, Extension& extension, const Peft& peft) {
  if (model.dims.family == Family::mpt) {
    throw InputError("MPT takes no embeddings in place of tokens: PEFT has no prompt tuning for it", "--peft prompt",
                     "lora");
  }
  const ModuleId root(0);
  const ModuleId prompt = extension.add(root, "prompt_encoder.default.embedding", "Embedding", ModuleKind::embedding);
  extension.parameter(prompt, "weight", {peft.virtual_tokens, model.dims.embedding_dim});
  std::vector<ModuleId>& children = model.modules[root.index()].children;
  std::rotate(children.rbegin(), children.rbegin() + 1, children.rbegin() + 2);  // the head stays last
}

/// Takes its place behind `after` among its parent's children.
void add_bottleneck(Architecture& model, Extension& extension, ModuleId after, std::string_view name,
                    std::int64_t width) {
  const ModuleId layer = model.module(after).parent;
  const ModuleId outer = extension.add(layer, name, "BottleneckLayer", ModuleKind::adapter);
  std::vector<ModuleId>& children = model.modules[layer.index()].children;
  children.pop_back();
  children.insert(std::find(children.begin(), children.end(), after) + 1, outer);
  const ModuleId inner = extension.add(outer, "adapters.default", "Adapter", ModuleKind::container);
  extension.linear(inner, "adapter_down.0", model.dims.hidden, width, true);
  extension.add(inner, "adapter_down.1", "Activation_Function_Class", ModuleKind::activation);
  extension.linear(inner, "adapter_up", width, model.dims.hidden, true);
}

void add_bottlenecks(Architecture& model, Extension& extension, const Peft& peft) {
  const Dimensions& d = model.dims;
  if (d.parallel_residual || d.post_norm || d.sandwich_norms) {
    throw InputError(
        "bottleneck adapters are simulated where attention and mlp add to the residual one after the "
        "other, unlike in " +
            model.name,
        "--peft adapter", "lora, or a model such as llama, mistral, qwen2 or gpt2");
  }
  const std::int64_t width = std::max<std::int64_t>(1, d.hidden / peft.reduction);
  for (const ModuleId layer : model.layer_modules()) {
    const std::vector<ModuleId> children = model.module(layer).children;
    auto attention = std::find_if(children.begin(), children.end(),
                                  [&](ModuleId id) { return model.module(id).kind == ModuleKind::container; });
    const auto next = attention + 1;
    if (next != children.end() && model.module(*next).kind == ModuleKind::dropout) attention = next;
    add_bottleneck(model, extension, *attention, "attention_adapters", width);
    add_bottleneck(model, extension, children.back(), "output_adapters", width);
  }
}

void freeze(Architecture& model, const Peft& peft) {
  for (Parameter& parameter : model.parameters) parameter.trainable = false;
  if (!peft.quantizes()) return;
  for (const ModuleId id : inner_linear_modules(model)) {
    const Module& module = model.module(id);
    Parameter& weight = model.parameters[module.parameters.front().index()];
    weight.quantization = peft.quantization;
    weight.shape = {module.out_features, module.in_features};
  }
  if (!peft.kbit_upcast.value_or(false)) return;
  for (Parameter& parameter : model.parameters) {
    if (!parameter.quantization) parameter.type = DType::f32;
  }
}

}  // namespace

Architecture apply_adapter(Architecture model, const Peft& peft) {
  if (!peft.any()) return model;
  freeze(model, peft);
  Extension extension(model, peft);
  if (peft.kind == PeftKind::prompt) {
    add_prompt(model, extension, peft);
  } else if (peft.kind == PeftKind::adapter) {
    add_bottlenecks(model, extension, peft);
  } else {
    const std::vector<ModuleId> targets = target_modules(model, peft);
    if (peft.trains_biases) refuse_trained_biases(model, targets);
    for (const ModuleId target : targets) add_low_rank(model, extension, target, peft);
  }
  return model;
}

}  // namespace shardsim
