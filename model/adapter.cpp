#include "model/adapter.hpp"

#include <algorithm>
#include <array>
#include <regex>
#include <set>

#include "model/architecture.hpp"
#include "model/core/error.hpp"
#include "model/core/units.hpp"

namespace shardsim {

namespace {

bool is_head(const Module& module) { return module.parent == ModuleId(0) && module.layer < 0; }

/// What PEFT's all-linear takes and what a quantizing library replaces.
bool is_inner_linear(const Module& module) {
  return module.kind == ModuleKind::linear && !is_head(module) &&
         (module.class_name == "Linear" || module.class_name == "Conv1D");
}

bool names(std::string_view target, std::string_view module) {
  if (module == target) return true;
  return module.size() > target.size() && module.ends_with(target) && module[module.size() - target.size() - 1] == '.';
}

std::string_view last_name(std::string_view module) {
  const std::size_t dot = module.rfind('.');
  return dot == std::string_view::npos ? module : module.substr(dot + 1);
}

std::string known_targets(const Architecture& model) {
  std::set<std::string_view> seen;
  for (const Module& module : model.modules) {
    if (is_inner_linear(module)) seen.insert(last_name(module.name));
  }
  std::string text = "all-linear";
  for (const std::string_view name : seen) text += ", " + std::string(name);
  return text;
}

std::vector<ModuleId> all_linear(const Architecture& model) {
  std::vector<ModuleId> found;
  for (std::size_t i = 0; i < model.modules.size(); ++i) {
    if (is_inner_linear(model.modules[i])) found.emplace_back(i);
  }
  return found;
}

std::vector<ModuleId> matching(const Architecture& model, const std::string& pattern) {
  try {
    const std::regex expression(pattern);
    std::vector<ModuleId> found = all_linear(model);
    std::erase_if(found, [&](ModuleId id) { return !std::regex_match(model.module(id).name, expression); });
    if (!found.empty()) return found;
  } catch (const std::regex_error&) {
    throw InputError("'" + pattern + "' is not a regular expression that is understood here", "target_modules",
                     "module names, or an expression without look-behind");
  }
  throw InputError("'" + pattern + "' matches no linear module of " + model.name, "target_modules",
                   known_targets(model));
}

std::vector<ModuleId> named(const Architecture& model, const std::vector<std::string>& targets) {
  const std::vector<ModuleId> linear = all_linear(model);
  std::vector<bool> chosen(model.modules.size(), false);
  for (const std::string& target : targets) {
    bool known = false;
    for (const ModuleId id : linear) {
      if (!names(target, model.module(id).name)) continue;
      known = true;
      chosen[id.index()] = true;
    }
    if (known) continue;
    throw InputError(model.name + " has no linear module '" + target + "' inside of its layers", "--lora-targets",
                     known_targets(model));
  }
  std::vector<ModuleId> found;
  for (const ModuleId id : linear) {
    if (chosen[id.index()]) found.push_back(id);
  }
  return found;
}

std::vector<ModuleId> find_targets(const Architecture& model, const Peft& peft) {
  if (!peft.target_pattern.empty()) return matching(model, peft.target_pattern);
  if (peft.targets.size() == 1 && peft.targets.front() == "all-linear") return all_linear(model);
  if (!peft.targets.empty()) return named(model, peft.targets);
  const std::span<const std::string_view> defaults = default_targets(model.dims.family);
  if (defaults.empty()) {
    throw InputError("PEFT has no default targets for the family of " + model.name, "--lora-targets",
                     known_targets(model));
  }
  return named(model, {defaults.begin(), defaults.end()});
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
  extension.linear(target, "lora_A.default", original.in_features, peft.rank, false);
  extension.linear(target, "lora_B.default", peft.rank, original.out_features, false);
  if (!peft.decomposes()) return;
  const ModuleId magnitude =
      extension.add(target, "lora_magnitude_vector.default", "DoraLinearLayer", ModuleKind::container);
  extension.parameter(magnitude, "weight", {original.out_features});
}

void freeze(Architecture& model, const Peft& peft) {
  for (Parameter& parameter : model.parameters) parameter.trainable = false;
  if (!peft.quantizes()) return;
  for (const ModuleId id : all_linear(model)) {
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

std::span<const std::string_view> default_targets(Family family) {
  static constexpr std::array<std::string_view, 2> query_and_value = {"q_proj", "v_proj"};
  static constexpr std::array<std::string_view, 1> conv1d = {"c_attn"};
  static constexpr std::array<std::string_view, 1> fused = {"query_key_value"};
  static constexpr std::array<std::string_view, 1> mpt = {"Wqkv"};
  switch (family) {
    case Family::gpt2:
      return conv1d;
    case Family::gpt_neox:
    case Family::falcon:
    case Family::bloom:
      return fused;
    case Family::mpt:
      return mpt;
    case Family::qwen3_moe:
    case Family::phi3:
    case Family::deepseek_v3:
      return {};
    default:
      return query_and_value;
  }
}

Architecture apply_adapter(Architecture model, const Peft& peft) {
  if (!peft.any()) return model;
  freeze(model, peft);
  Extension extension(model, peft);
  for (const ModuleId target : find_targets(model, peft)) add_low_rank(model, extension, target, peft);
  return model;
}

}  // namespace shardsim
