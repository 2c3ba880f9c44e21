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
void add_low_rank(Architecture& model, Extension& extension, ModuleId target, const Peft& peft,
                  const AdapterRanks& ranks) {
  const Module original = model.module(target);
  const std::int64_t rank = ranks.of(original.name);
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

void train_biases(Architecture& model, const Peft& peft, const std::vector<ModuleId>& targets) {
  const auto train = [&](ParameterId id) {
    Parameter& parameter = model.parameters[id.index()];
    if (last_name(parameter.name) == "bias") parameter.trainable = true;
  };
  if (peft.biases == TrainedBiases::all) {
    for (std::size_t i = 0; i < model.parameters.size(); ++i) train(ParameterId(i));
  } else if (peft.biases == TrainedBiases::lora_only) {
    for (const ModuleId target : targets) {
      for (const ParameterId id : model.module(target).parameters) train(id);
    }
  }
}

/// A name of `modules_to_save` takes every module whose name ends so (peft/utils/other.py, _set_trainable), and all
/// that is inside.
bool is_saved(const Architecture& model, ModuleId id, const std::string& name) {
  for (ModuleId at = id; at.valid(); at = model.module(at).parent) {
    if (model.module(at).name.ends_with(name)) return true;
  }
  return false;
}

std::vector<ModuleId> saved_modules(const Architecture& model, const Peft& peft) {
  std::vector<ModuleId> found;
  std::vector<bool> taken(model.modules.size());
  for (const std::string& name : peft.saved_modules) {
    bool known = false;
    for (std::size_t i = 0; i < model.modules.size(); ++i) {
      const ModuleId id(i);
      if (model.module(id).parameters.empty() || !is_saved(model, id, name)) continue;
      known = true;
      if (taken[i]) continue;
      taken[i] = true;
      found.push_back(id);
    }
    if (known) continue;
    throw InputError(model.name + " has no module '" + name + "' with parameters", "modules_to_save",
                     "ends of module names, such as lm_head");
  }
  return found;
}

/// PEFT's ModulesToSaveWrapper takes the module's place. The copy is a deep one: a tied weight is tied no more.
void copy_module(Architecture& model, Extension& extension, ModuleId wrapped) {
  const Module original = model.module(wrapped);
  const ModuleId idle = extension.add(wrapped, "original_module", original.class_name, original.kind);
  const ModuleId copy = extension.add(wrapped, "modules_to_save.default", original.class_name, original.kind);
  for (const ModuleId id : {idle, copy}) {
    model.modules[id.index()].in_features = original.in_features;
    model.modules[id.index()].out_features = original.out_features;
  }
  model.modules[idle.index()].parameters = original.parameters;
  model.modules[wrapped.index()].class_name = "ModulesToSaveWrapper";
  model.modules[wrapped.index()].parameters.clear();
  for (const ParameterId id : original.parameters) {
    Parameter parameter = model.parameter(id);
    const std::string name(last_name(parameter.name));
    if (parameter.quantization) {
      throw InputError(original.name + " is quantized, and PyTorch trains no integers", "modules_to_save",
                       "modules that stay unquantized, such as lm_head, or --peft lora");
    }
    const bool is_tied_elsewhere = !parameter.name.starts_with(original.name + ".");
    if (!is_tied_elsewhere) model.parameters[id.index()].name = model.module(idle).name + "." + name;
    model.parameters[id.index()].trainable = false;
    parameter.name = model.module(copy).name + "." + name;
    parameter.trainable = true;
    model.modules[copy.index()].parameters.emplace_back(model.parameters.size());
    model.parameters.push_back(std::move(parameter));
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
  const std::vector<ModuleId> saved = saved_modules(model, peft);
  if (peft.kind == PeftKind::prompt) {
    add_prompt(model, extension, peft);
  } else if (peft.kind == PeftKind::adapter) {
    add_bottlenecks(model, extension, peft);
  } else {
    std::vector<ModuleId> targets = target_modules(model, peft);
    std::erase_if(targets, [&](ModuleId id) { return std::find(saved.begin(), saved.end(), id) != saved.end(); });
    if (targets.empty()) {
      throw InputError("every target of the adapter is a module to save", "target_modules, modules_to_save",
                       "other modules to save, such as lm_head");
    }
    train_biases(model, peft, targets);
    const AdapterRanks ranks(peft);
    for (const ModuleId target : targets) add_low_rank(model, extension, target, peft, ranks);
  }
  for (const ModuleId id : saved) copy_module(model, extension, id);
  return model;
}

}  // namespace shardsim
