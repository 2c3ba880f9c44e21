// What autograd saves in each part of a model, against the real modules (saved_tensors.py).
#include <algorithm>
#include <map>
#include <set>

#include "../model/config_text.hpp"
#include "model/adapter.hpp"
#include "model/operators.hpp"
#include "recording.hpp"

using namespace shardsim;

namespace {

/// Which of the recording's regions runs an operator of this module.
std::string region_of(const Architecture& model, ModuleId id) {
  const Module& root = model.module(ModuleId(0));
  if (id == ModuleId(0)) return "loss";
  if (model.module(id).layer >= 0) return "layer " + std::to_string(model.module(id).layer);
  for (ModuleId m = id; m.valid(); m = model.module(m).parent) {
    if (m == root.children.back()) return "head";
  }
  const Module& base = model.module(root.children.front());
  const auto last = std::find_if(base.children.rbegin(), base.children.rend(),
                                 [&](ModuleId m) { return model.module(m).kind == ModuleKind::norm; });
  return last != base.children.rend() && *last == id ? "norm" : "embedding";
}

struct Saved {
  std::map<std::string, std::int64_t> by_region;
  std::int64_t shared = 0;  ///< what several layers save
  std::int64_t total = 0;
};

Saved saved_by(const Graph& graph, const Architecture& model) {
  std::map<std::string, std::set<std::size_t>> regions;
  std::map<std::size_t, int> layers;
  std::set<std::size_t> all;
  for (const Operator& op : graph.operators) {
    const std::string region = region_of(model, op.module);
    for (const ValueId id : op.saved) {
      all.insert(id.index());
      if (regions[region].insert(id.index()).second && model.module(op.module).layer >= 0) ++layers[id.index()];
    }
  }
  Saved saved;
  const auto bytes = [&](std::size_t index) { return graph.values[index].bytes; };
  for (const auto& [region, values] : regions) {
    for (const std::size_t index : values) {
      if (layers[index] < 2 || region.rfind("layer", 0) != 0) saved.by_region[region] += bytes(index);
    }
  }
  for (const auto& [index, count] : layers) saved.shared += count > 1 ? bytes(index) : 0;
  for (const std::size_t index : all) saved.total += bytes(index);
  return saved;
}

Graph graph_of(const nlohmann::json& recorded, const Architecture& model) {
  static const std::map<std::string, AttentionKind> kinds{
      {"eager", AttentionKind::eager}, {"sdpa", AttentionKind::sdpa}, {"flash_attention_2", AttentionKind::flash}};
  GraphOptions options;
  options.micro_batch = recorded.at("batch");
  options.seq_len = recorded.at("seq");
  options.precision = recorded.at("precision") == "bf16" ? Precision::bf16 : Precision::fp32;
  options.attention = kinds.at(recorded.at("attention"));
  return build_graph(model, options);
}

Architecture model_of(const nlohmann::json& recorded, const nlohmann::json& models) {
  Architecture model = architecture_of(models.at(recorded.at("model")).dump());
  if (!recorded.contains("lora")) return model;
  Peft peft;
  peft.kind = PeftKind::lora;
  const nlohmann::json& targets = recorded.at("lora");
  if (targets.is_string()) {
    peft.targets = {targets};
  } else {
    peft.targets = targets.get<std::vector<std::string>>();
  }
  return apply_adapter(std::move(model), peft);
}

std::string name_of_case(const nlohmann::json& recorded) {
  std::string name = recorded.at("model").get<std::string>() + " " + recorded.at("precision").get<std::string>() + " " +
                     recorded.at("attention").get<std::string>() + " " +
                     std::to_string(recorded.at("batch").get<int>()) + "x" +
                     std::to_string(recorded.at("seq").get<int>());
  if (recorded.contains("lora")) name += " lora " + recorded.at("lora").dump();
  return name;
}

}  // namespace

std::vector<oracle::Row> oracle::saved_tensors() {
  std::vector<Row> rows;
  const nlohmann::json file = recording("saved_tensors.json");
  for (const nlohmann::json& recorded : file.at("cases")) {
    const Architecture model = model_of(recorded, file.at("models"));
    const Saved ours = saved_by(graph_of(recorded, model), model);
    const nlohmann::json& theirs = recorded.at("saved");
    const auto compare = [&](const std::string& figure, std::int64_t mine, std::int64_t real) {
      rows.push_back({name_of_case(recorded), figure, mine, real, 0, ""});
    };
    const auto region = [&](const std::string& name) {
      const auto found = ours.by_region.find(name);
      return found == ours.by_region.end() ? 0 : found->second;
    };
    for (std::size_t i = 0; i < theirs.at("layers").size(); ++i) {
      const std::string name = "layer " + std::to_string(i);
      compare(name, region(name), theirs.at("layers")[i]);
    }
    for (const char* name : {"embedding", "norm", "head", "loss"}) compare(name, region(name), theirs.at(name));
    compare("shared", ours.shared, theirs.at("shared"));
    compare("total", ours.total, theirs.at("total"));
  }
  return rows;
}

TEST_CASE("saved tensors are those of the real modules") { oracle::check(oracle::saved_tensors()); }
