#include "sim/plan/device_map.hpp"

#include <algorithm>
#include <deque>
#include <limits>
#include <optional>

namespace shardsim {
namespace {

constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();

std::optional<Quantization> quantization_of(const Architecture& architecture) {
  for (const Parameter& parameter : architecture.parameters) {
    if (parameter.quantization) return parameter.quantization;
  }
  return {};
}

/// The head, or the original of a head that PEFT copied.
bool is_head(const Architecture& architecture, const Module& module) {
  if (module.kind != ModuleKind::linear) return false;
  const Module& parent = architecture.module(module.parent);
  return (parent.is_copied() ? parent.parent : module.parent) == ModuleId(0);
}

/// Bytes of each module with all below it, as they are estimated before weights are loaded and adapters added; a tied
/// parameter counts where it stands first.
class ModuleSizes {
 public:
  ModuleSizes(const Architecture& architecture, std::int64_t element)
      : architecture_(architecture),
        element_(element),
        quantization_(quantization_of(architecture)),
        is_adapted_(architecture.adapted()),
        bytes_(architecture.modules.size()),
        taken_(architecture.parameters.size()) {
    add(ModuleId(0));
    for (const ModuleId layer : architecture.layer_modules()) layers_.push_back(layer);
  }
  std::int64_t of(ModuleId m) const { return bytes_[m.index()]; }
  bool is_layer(ModuleId m) const { return std::find(layers_.begin(), layers_.end(), m) != layers_.end(); }
  bool is_whole(ModuleId m) const {
    const Module& module = architecture_.module(m);
    return module.children.empty() || module.is_copied() || is_layer(m);
  }

  /// The largest of the undividable modules below these, and its bytes.
  std::int64_t largest(std::deque<ModuleId> modules, std::vector<ModuleId>& names) const {
    std::int64_t most = 0;
    names.clear();
    while (!modules.empty()) {
      const ModuleId m = modules.front();
      modules.pop_front();
      if (!is_whole(m)) {
        const std::vector<ModuleId>& children = architecture_.module(m).children;
        modules.insert(modules.begin(), children.begin(), children.end());
        continue;
      }
      if (of(m) > most) names.clear();
      most = std::max(most, of(m));
      if (of(m) == most) names.push_back(m);
    }
    return most;
  }

 private:
  std::int64_t bytes_of(const Parameter& parameter, bool in_head) const {
    if (is_adapted_ && parameter.trainable) return 0;
    if (!quantization_ || in_head) return parameter.numel * element_;
    if (*quantization_ == Quantization::gptq4) return parameter.stored_bytes(DType::bf16);
    return *quantization_ == Quantization::int8 ? parameter.numel : parameter.numel / 2;
  }
  /// gpt2's attention keeps the causal mask, whose bools accelerate counts as bits, and what a masked score becomes
  /// (transformers 4).
  std::int64_t buffers_of(const Module& module) const {
    if (module.class_name != "GPT2Attention") return 0;
    return architecture_.dims.max_positions * architecture_.dims.max_positions / 8 + element_;
  }
  std::int64_t add(ModuleId m) {
    std::int64_t bytes = buffers_of(architecture_.module(m));
    for (const ParameterId p : architecture_.module(m).parameters) {
      if (taken_[p.index()]) continue;
      taken_[p.index()] = true;
      bytes += bytes_of(architecture_.parameter(p), is_head(architecture_, architecture_.module(m)));
    }
    for (const ModuleId child : architecture_.module(m).children) bytes += add(child);
    return bytes_[m.index()] = bytes;
  }

  const Architecture& architecture_;
  std::int64_t element_;
  std::optional<Quantization> quantization_;
  bool is_adapted_;
  std::vector<std::int64_t> bytes_;
  std::vector<bool> taken_;
  std::vector<ModuleId> layers_;
};

bool is_below(const Architecture& architecture, ModuleId m, ModuleId ancestor) {
  for (ModuleId at = m; at.valid(); at = architecture.module(at).parent) {
    if (at == ancestor) return true;
  }
  return false;
}

bool shares_parameters(const Architecture& architecture, ModuleId a, ModuleId b) {
  const std::vector<ParameterId>& of_b = architecture.module(b).parameters;
  for (const ParameterId p : architecture.module(a).parameters) {
    if (std::find(of_b.begin(), of_b.end(), p) != of_b.end()) return true;
  }
  return std::any_of(architecture.module(a).children.begin(), architecture.module(a).children.end(),
                     [&](ModuleId child) { return shares_parameters(architecture, child, b); });
}

void place(const Architecture& architecture, ModuleId m, std::int32_t device, DeviceMap& map) {
  map.device[m.index()] = device;
  for (const ModuleId child : architecture.module(m).children) place(architecture, child, device, map);
}

}  // namespace

MaxMemory balanced_memory(const Architecture& architecture, std::int64_t element, MaxMemory free) {
  if (free.gpus.size() == 1) {
    free.gpus.front() = static_cast<std::int64_t>(0.9 * static_cast<double>(free.gpus.front()));
  }
  const ModuleSizes sizes(architecture, element);
  std::int64_t buffer = 0, leaves = 0, in_leaves = 0;
  for (std::size_t i = 0; i < architecture.modules.size(); ++i) {
    const ModuleId m(i);
    if (sizes.is_layer(m)) buffer = std::max(buffer, sizes.of(m));
    if (!architecture.modules[i].children.empty() || sizes.of(m) == 0) continue;
    ++leaves;
    in_leaves += sizes.of(m);
  }
  buffer = std::max(buffer, in_leaves / std::max<std::int64_t>(leaves, 1));
  const auto share = sizes.of(ModuleId(0)) / static_cast<std::int64_t>(free.gpus.size()) +
                     static_cast<std::int64_t>(1.25 * static_cast<double>(buffer));
  for (std::size_t gpu = 0; gpu + 1 < free.gpus.size(); ++gpu) free.gpus[gpu] = std::min(free.gpus[gpu], share);
  const std::optional<Quantization> quantization = quantization_of(architecture);
  if (!quantization || *quantization == Quantization::gptq4) return free;
  for (std::int64_t& gpu : free.gpus) gpu = gpu / 10 * 9;
  free.cpu = free.cpu / 10 * 9;
  return free;
}

DeviceMap infer_device_map(const Architecture& architecture, std::int64_t element, const MaxMemory& max_memory) {
  const ModuleSizes sizes(architecture, element);
  DeviceMap map{std::vector<std::int32_t>(architecture.modules.size(), DeviceMap::several),
                static_cast<std::int32_t>(max_memory.gpus.size())};
  std::vector<std::int64_t> room = max_memory.gpus;
  room.push_back(max_memory.cpu);
  room.push_back(unlimited);
  std::deque<ModuleId> waiting(architecture.module(ModuleId(0)).children.begin(),
                               architecture.module(ModuleId(0)).children.end());
  std::vector<ModuleId> largest;
  std::int64_t reserved = sizes.largest(waiting, largest);
  std::int32_t device = 0;
  while (!waiting.empty()) {
    const ModuleId m = waiting.front();
    waiting.pop_front();
    std::erase_if(largest, [&](ModuleId l) { return is_below(architecture, l, m); });
    if (largest.empty()) reserved = sizes.largest(waiting, largest);
    const bool keeps_room = device == 0 || device == map.cpu();
    const std::int64_t limit = room[static_cast<std::size_t>(device)];
    if (device == map.disk() || sizes.of(m) <= limit - (keeps_room ? reserved : 0)) {
      room[static_cast<std::size_t>(device)] -= device == map.disk() ? 0 : sizes.of(m);
      place(architecture, m, device, map);
      // A tied head has nothing of its own left, and goes where its embedding is.
      std::erase_if(waiting, [&](ModuleId other) {
        const bool is_tied = sizes.of(other) == 0 && !architecture.module(other).parameters.empty() &&
                             shares_parameters(architecture, m, other);
        if (is_tied) place(architecture, other, device, map);
        return is_tied;
      });
    } else if (sizes.is_whole(m)) {
      ++device;
      waiting.push_front(m);
    } else {
      const std::vector<ModuleId>& children = architecture.module(m).children;
      waiting.insert(waiting.begin(), children.begin(), children.end());
      reserved = sizes.largest(waiting, largest);
    }
  }
  return map;
}

}  // namespace shardsim
