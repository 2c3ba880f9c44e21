#include "model/architecture_builder.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "model/core/check.hpp"
#include "model/core/units.hpp"

namespace shardsim {

namespace {

std::string_view activation_class(Activation activation) {
  switch (activation) {
    case Activation::silu:
      return "SiLUActivation";
    case Activation::gelu:
      return "GELUActivation";
    case Activation::gelu_tanh:
      return "GELUTanh";
    case Activation::gelu_new:
      return "NewGELUActivation";
    case Activation::relu:
      return "ReLU";
  }
  return "";
}

std::int64_t product(const std::vector<std::int64_t>& shape) {
  std::int64_t numel = 1;
  for (const std::int64_t extent : shape) {
    if (__builtin_mul_overflow(numel, extent, &numel)) throw_overflow("a tensor's size");
  }
  return numel;
}

std::string joined(const std::string& parent, std::string_view name) {
  std::string full;
  full.reserve(parent.size() + 1 + name.size());
  if (!parent.empty()) full.append(parent).push_back('.');
  return full.append(name);
}

}  // namespace

ModuleId ArchitectureBuilder::root(std::string_view class_name) {
  SHARDSIM_CHECK(architecture_.modules.empty(), "a model has one root");
  architecture_.modules.emplace_back().class_name = class_name;
  return ModuleId(0);
}

ModuleId ArchitectureBuilder::add(ModuleId parent, std::string_view name, std::string_view class_name,
                                  ModuleKind kind) {
  const ModuleId id(architecture_.modules.size());
  Module added;
  added.name = joined(module(parent).name, name);
  added.class_name = class_name;
  added.kind = kind;
  added.parent = parent;
  added.layer = module(parent).layer;
  module(parent).children.push_back(id);
  architecture_.modules.push_back(std::move(added));
  return id;
}

ModuleId ArchitectureBuilder::layer(ModuleId parent, std::string_view list, std::int64_t index,
                                    std::string_view class_name) {
  const ModuleId id = add(parent, std::string(list) + "." + std::to_string(index), class_name);
  module(id).layer = static_cast<std::int32_t>(index);
  return id;
}

ModuleId ArchitectureBuilder::embedding(ModuleId parent, std::string_view name, std::int64_t rows, std::int64_t width,
                                        std::string_view class_name) {
  const ModuleId id = add(parent, name, class_name, ModuleKind::embedding);
  parameter(id, "weight", {rows, width});
  return id;
}

ModuleId ArchitectureBuilder::linear(ModuleId parent, std::string_view name, std::int64_t in, std::int64_t out,
                                     bool bias, std::string_view class_name) {
  const ModuleId id = add(parent, name, class_name, ModuleKind::linear);
  module(id).in_features = in;
  module(id).out_features = out;
  parameter(id, "weight", {out, in});
  if (bias) parameter(id, "bias", {out});
  return id;
}

ModuleId ArchitectureBuilder::conv1d(ModuleId parent, std::string_view name, std::int64_t in, std::int64_t out) {
  const ModuleId id = add(parent, name, "Conv1D", ModuleKind::linear);
  module(id).in_features = in;
  module(id).out_features = out;
  parameter(id, "weight", {in, out});
  parameter(id, "bias", {out});
  return id;
}

ModuleId ArchitectureBuilder::norm(ModuleId parent, std::string_view name, std::int64_t width,
                                   std::string_view class_name) {
  const ModuleId id = add(parent, name, class_name, ModuleKind::norm);
  parameter(id, "weight", {width});
  if (dims().norm_bias) parameter(id, "bias", {width});
  return id;
}

ModuleId ArchitectureBuilder::activation(ModuleId parent, std::string_view name, std::string_view class_name) {
  if (class_name.empty()) class_name = activation_class(dims().activation);
  return add(parent, name, class_name, ModuleKind::activation);
}

ModuleId ArchitectureBuilder::dropout(ModuleId parent, std::string_view name) {
  return add(parent, name, "Dropout", ModuleKind::dropout);
}

ModuleId ArchitectureBuilder::head(std::string_view name, ModuleId embedding) {
  if (!dims().tied_embeddings) return linear(ModuleId(0), name, dims().embedding_dim, dims().vocab, false);
  const ModuleId id = add(ModuleId(0), name, "Linear", ModuleKind::linear);
  module(id).in_features = dims().embedding_dim;
  module(id).out_features = dims().vocab;
  module(id).parameters = {module(embedding).parameters.front()};
  return id;
}

void ArchitectureBuilder::runs(ModuleId parent, std::vector<ModuleId> order) {
  SHARDSIM_CHECK(
      std::is_permutation(order.begin(), order.end(), module(parent).children.begin(), module(parent).children.end()),
      "a module runs each of its children");
  module(parent).children = std::move(order);
}

void ArchitectureBuilder::runs_first(ModuleId parent, ModuleId child) {
  std::vector<ModuleId>& children = module(parent).children;
  const auto found = std::find(children.begin(), children.end(), child);
  SHARDSIM_CHECK(found != children.end(), "a module runs its own children");
  std::rotate(children.begin(), found, found + 1);
}

void ArchitectureBuilder::parameter(ModuleId owner, std::string_view name, std::vector<std::int64_t> shape) {
  const ParameterId id(architecture_.parameters.size());
  Parameter added;
  added.name = joined(module(owner).name, name);
  added.numel = product(shape);
  added.shape = std::move(shape);
  architecture_.parameters.push_back(std::move(added));
  module(owner).parameters.push_back(id);
}

}  // namespace shardsim
