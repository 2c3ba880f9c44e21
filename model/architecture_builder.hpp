// Lays out a tree of modules the way transformers' classes do: modules are added in the order in which __init__
// registers them, which fixes the checkpoint's order, and `runs` then states the order in which forward() calls them.
#pragma once

#include <string_view>
#include <vector>

#include "model/architecture.hpp"

namespace shardsim {

class ArchitectureBuilder {
 public:
  explicit ArchitectureBuilder(Architecture& architecture) : architecture_(architecture) {}

  const Dimensions& dims() const { return architecture_.dims; }
  ModuleId root(std::string_view class_name);
  /// `name` is relative to the parent and may hold dots, where a container between them never runs.
  ModuleId add(ModuleId parent, std::string_view name, std::string_view class_name,
               ModuleKind kind = ModuleKind::container);
  /// A decoder layer: it and all that is added below it carry the index.
  ModuleId layer(ModuleId parent, std::string_view list, std::int64_t index, std::string_view class_name);
  ModuleId embedding(ModuleId parent, std::string_view name, std::int64_t rows, std::int64_t width,
                     std::string_view class_name = "Embedding");
  ModuleId linear(ModuleId parent, std::string_view name, std::int64_t in, std::int64_t out, bool bias,
                  std::string_view class_name = "Linear");
  /// As linear, its weight stored [in, out].
  ModuleId conv1d(ModuleId parent, std::string_view name, std::int64_t in, std::int64_t out);
  /// nn.LayerNorm unless a class is named; biased as Dimensions::norm_bias says.
  ModuleId norm(ModuleId parent, std::string_view name, std::int64_t width, std::string_view class_name = "LayerNorm");
  /// Of the class that transformers' ACT2FN gives for Dimensions::activation, unless one is named.
  ModuleId activation(ModuleId parent, std::string_view name, std::string_view class_name = {});
  ModuleId dropout(ModuleId parent, std::string_view name);
  /// The output projection onto the vocabulary; with tied embeddings its weight is that of `embedding`.
  ModuleId head(std::string_view name, ModuleId embedding);

  /// The order in which forward() of `parent` calls its children, where it is not that of registration.
  void runs(ModuleId parent, std::vector<ModuleId> order);
  /// The child that forward() of `parent` calls before all others, which keep their order.
  void runs_first(ModuleId parent, ModuleId child);

 private:
  Module& module(ModuleId id) { return architecture_.modules[id.index()]; }
  void parameter(ModuleId owner, std::string_view name, std::vector<std::int64_t> shape);

  Architecture& architecture_;
};

/// One function a group of families: adds every module of a model of that kind.
void build_llama_like(ArchitectureBuilder& builder);  ///< llama, mistral, mixtral, qwen*, gemma*, phi3, deepseek_v3
void build_gpt2(ArchitectureBuilder& builder);
void build_gpt_neox(ArchitectureBuilder& builder);
void build_falcon(ArchitectureBuilder& builder);
void build_opt(ArchitectureBuilder& builder);
void build_bloom(ArchitectureBuilder& builder);
void build_mpt(ArchitectureBuilder& builder);

}  // namespace shardsim
