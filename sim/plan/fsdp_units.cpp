#include "sim/plan/fsdp_units.hpp"

#include <algorithm>
#include <initializer_list>
#include <set>
#include <utility>

#include "model/core/units.hpp"

namespace shardsim {
namespace {

// A quantized weight is one column of 16-bit elements (bitsandbytes, quant_storage = the type of the products).
std::int64_t stored_rows(const Parameter& parameter) {
  if (!parameter.quantization) return parameter.shape.front();
  return ceil_div(parameter.quantized().data, size_of(DType::bf16));
}

/// torch.chunk: the last ranks may have fewer, or none.
std::int64_t local_rows(std::int64_t rows, std::int64_t rank, std::int64_t world) {
  const std::int64_t chunk = ceil_div(rows, world);
  const std::int64_t begin = std::min(rows, rank * chunk);
  return std::min(rows, begin + chunk) - begin;
}

FsdpParameter shard(const Architecture& architecture, ParameterId id, std::int64_t rank, std::int64_t world) {
  const Parameter& parameter = architecture.parameter(id);
  const std::int64_t rows = stored_rows(parameter);
  const std::int64_t row = parameter.quantization ? 1 : parameter.numel / rows;
  return {id, ceil_div(rows, world) * row, local_rows(rows, rank, world) * row, parameter.trainable};
}

bool trains_weight(const Architecture& architecture, const Module& module) {
  return std::any_of(module.parameters.begin(), module.parameters.end(), [&](ParameterId id) {
    const Parameter& parameter = architecture.parameter(id);
    return parameter.trainable && parameter.name.ends_with(".weight");
  });
}

class UnitCollector {
 public:
  UnitCollector(const Architecture& architecture, std::int64_t rank, std::int64_t world)
      : architecture_(architecture), rank_(rank), world_(world), taken_(architecture.parameters.size(), false) {}

  void take(FsdpUnit& unit, ModuleId module) {
    const Module& m = architecture_.module(module);
    for (const ParameterId id : m.parameters) {
      if (taken_[id.index()]) continue;
      taken_[id.index()] = true;
      if (!is_sharded(architecture_.parameter(id))) continue;
      unit.parameters.push_back(shard(architecture_, id, rank_, world_));
    }
    for (const ModuleId child : m.children) take(unit, child);
  }

 private:
  const Architecture& architecture_;
  std::int64_t rank_, world_;
  std::vector<bool> taken_;
};

struct Landmarks {
  ModuleId embedding, norm, head;
};

// The input embedding is the first embedding that runs, the head the last module of the root, the final norm the last
// module before it.
Landmarks find_landmarks(const Architecture& architecture) {
  Landmarks found;
  for (std::size_t i = 0; i < architecture.modules.size(); ++i) {
    const Module& module = architecture.modules[i];
    const bool inside_copy = module.parent.valid() && architecture.module(module.parent).is_copied();
    if (module.layer >= 0 || inside_copy) continue;
    if (module.kind == ModuleKind::embedding && !found.embedding.valid()) found.embedding = ModuleId(i);
    if (module.kind == ModuleKind::norm) found.norm = ModuleId(i);
    if (module.kind == ModuleKind::linear && module.parent == ModuleId(0)) found.head = ModuleId(i);
  }
  return found;
}

}  // namespace

bool is_sharded(const Parameter& parameter) { return parameter.quantization != Quantization::gptq4; }

std::int64_t FsdpUnit::shard_elements() const {
  std::int64_t sum = 0;
  for (const FsdpParameter& parameter : parameters) sum += parameter.shard;
  return sum;
}

std::int64_t FsdpUnit::trained_shard_elements() const {
  std::int64_t sum = 0;
  for (const FsdpParameter& parameter : parameters) sum += parameter.trainable ? parameter.shard : 0;
  return sum;
}

std::vector<FsdpUnit> fsdp_units(const Architecture& architecture, std::int64_t rank, std::int64_t world,
                                 bool reshard_after_forward, bool layers_apart) {
  UnitCollector collector(architecture, rank, world);
  const Landmarks landmarks = find_landmarks(architecture);
  std::vector<FsdpUnit> units(1);
  const auto add = [&](FsdpUnit unit, std::initializer_list<ModuleId> modules) {
    for (const ModuleId module : modules) {
      if (module.valid()) collector.take(unit, module);
    }
    std::sort(unit.parameters.begin(), unit.parameters.end(),
              [](const FsdpParameter& a, const FsdpParameter& b) { return a.id.index() < b.id.index(); });
    units.push_back(std::move(unit));
  };
  const bool tied = architecture.dims.tied_embeddings && landmarks.head.valid();
  if (tied) {
    add({landmarks.embedding, landmarks.head, {}, false, true}, {landmarks.norm, landmarks.embedding, landmarks.head});
  } else if (landmarks.embedding.valid()) {
    add({landmarks.embedding, landmarks.embedding, {}, reshard_after_forward, true}, {landmarks.embedding});
  }
  if (layers_apart) {
    for (const ModuleId layer : architecture.layer_modules()) {
      add({layer, layer, {}, reshard_after_forward, false}, {layer});
    }
  }
  if (!tied && landmarks.head.valid()) {
    const ModuleId first = landmarks.norm.valid() ? landmarks.norm : landmarks.head;
    add({first, landmarks.head, {}, false, false}, {landmarks.norm, landmarks.head});
  }
  FsdpUnit& root = units.front();
  root = {ModuleId(0), ModuleId(0), {}, !layers_apart && reshard_after_forward, true};
  collector.take(root, ModuleId(0));
  if (root.parameters.empty()) units.erase(units.begin());
  return units;
}

std::vector<FlatUnit> flat_units(const Architecture& architecture, std::int64_t world) {
  std::vector<FlatUnit> units(1);
  units.front().module = ModuleId(0);
  for (const ModuleId layer : architecture.layer_modules()) units.emplace_back().module = layer;
  std::vector<bool> taken(architecture.parameters.size());
  for (std::size_t m = 0; m < architecture.modules.size(); ++m) {
    const Module& module = architecture.modules[m];
    const bool apart = architecture.adapted() && module.children.empty() && trains_weight(architecture, module);
    if (apart) {
      units.emplace_back().module = ModuleId(m);
      units.back().nested = module.layer >= 0;
    }
    FlatUnit& unit = apart ? units.back() : units[module.layer < 0 ? 0 : 1 + static_cast<std::size_t>(module.layer)];
    for (const ParameterId id : module.parameters) {
      if (taken[id.index()]) continue;
      taken[id.index()] = true;
      const Parameter& parameter = architecture.parameter(id);
      if (!is_sharded(parameter)) continue;
      unit.parameters.push_back(id);
      unit.elements += parameter.quantization ? stored_rows(parameter) : parameter.numel;
      if (parameter.trainable) unit.trained_elements += parameter.numel;
    }
  }
  for (FlatUnit& unit : units) {
    unit.shard = ceil_div(unit.elements, world);
    unit.trained = unit.trained_elements > 0;
  }
  return units;
}

std::vector<std::uint64_t> fsdp_roles(const Architecture& architecture, std::int64_t world) {
  std::set<std::int64_t> uneven;  // numbers of rows
  for (const Parameter& parameter : architecture.parameters) {
    if (stored_rows(parameter) % world != 0) uneven.insert(stored_rows(parameter));
  }
  std::vector<std::uint64_t> roles;
  for (std::int64_t rank = 0; rank < world; ++rank) {
    std::uint64_t role = 0xcbf29ce484222325ULL;
    for (const std::int64_t rows : uneven) {
      role = (role ^ static_cast<std::uint64_t>(local_rows(rows, rank, world))) * 0x100000001b3ULL;
    }
    roles.push_back(role);
  }
  return roles;
}

}  // namespace shardsim
