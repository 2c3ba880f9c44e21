#include "sim/verbs/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sim/report/notation.hpp"
#include "sim/request/choices.hpp"
#include "sim/request/strategy_name.hpp"
#include "sim/topology/named_machine.hpp"

namespace shardsim {

namespace {

using Names = std::vector<std::string>;

DeviceCatalog catalog(const DataFolders& data) { return DeviceCatalog(data.topologies / "devices"); }

std::string model_detail(const std::string& name, const DataFolders& data) {
  const Architecture model = load_architecture(name, data.zoo);
  return fmt::format("{:>9} parameters, {} layers", count_text(static_cast<double>(model.parameter_count())),
                     model.dims.layers);
}

std::string device_detail(const std::string& name, const DataFolders& data) {
  std::vector<std::string> assumptions;
  const GpuSpec gpu = catalog(data).gpu(name, "list", assumptions);
  return fmt::format("{:>6} GiB, {}, {:.0f} TFLOP/s in 16 bit", in_gib(gpu.memory.value()),
                     bandwidth_text(gpu.memory_bandwidth.bytes_per_second), gpu.matmul_16bit.flops_per_second / 1e12);
}

std::string system_detail(const std::string& name, const DataFolders& data) {
  const Topology system = load_topology(name, {}, data.topologies);
  const std::string device = system.devices.empty() ? "no device" : system.devices.front().spec.name;
  return fmt::format("{} x {}, {} node{}", system.devices.size(), device, system.hosts.size(),
                     system.hosts.size() == 1 ? "" : "s");
}

std::string optimizer_detail(const std::string& name, const DataFolders&) {
  return std::string(describe(choose(optimizer_choices, "optimizer", {name, "list"})));
}

template <auto& choices>
Names choice_names(const DataFolders&) {
  return names_of(choices);
}

Names models(const DataFolders& data) { return zoo_names(data.zoo); }
Names devices(const DataFolders& data) { return catalog(data).gpu_names(); }
Names systems(const DataFolders& data) { return system_names(data.topologies); }
Names strategies(const DataFolders&) { return strategy_names(); }

Names policies(const DataFolders&) {
  Names names = names_of(checkpointing_choices);
  names.emplace_back("every:K");
  return names;
}

std::string strategy_detail(const std::string& name, const DataFolders&) { return describe_strategy(name); }

constexpr std::array kinds = {
    KindOfName{"models", "model", ", or a config.json", models, model_detail},
    KindOfName{"devices", "gpu", ", and '4xDEVICE'", devices, device_detail},
    KindOfName{"systems", "topology", " by name", systems, system_detail},
    KindOfName{"topologies", "topology", " by name", systems, system_detail},
    KindOfName{"strategies", "strategy", "", strategies, strategy_detail},
    KindOfName{"optimizers", "optimizer", "", choice_names<optimizer_choices>, optimizer_detail},
    KindOfName{"optimizer-impls", "optimizer-impl", "", choice_names<optimizer_impl_choices>},
    KindOfName{"precisions", "precision", "", choice_names<precision_choices>},
    KindOfName{"reduce-dtypes", "reduce-dtype", "", choice_names<reduce_dtype_choices>},
    KindOfName{"checkpointing", "checkpointing", "", policies},
    KindOfName{"adapters", "peft", ", or an adapter_config.json", choice_names<peft_choices>},
    KindOfName{"quantizations", "quantization", "", choice_names<quantization_choices>},
    KindOfName{"attentions", "attention", "", choice_names<attention_choices>},
    KindOfName{"losses", "loss", "", choice_names<loss_choices>},
    KindOfName{"implementations", "implementation", "", choice_names<implementation_choices>},
    KindOfName{"allocators", "allocator", "", choice_names<allocator_choices>},
    KindOfName{"saves", "save", "", choice_names<save_choices>},
    KindOfName{"formats", "format", "", choice_names<format_choices>},
};

/// The parts of "on|off".
Names parts(std::string_view alternatives) {
  Names names;
  while (!alternatives.empty()) {
    const std::size_t end = std::min(alternatives.find('|'), alternatives.size());
    names.emplace_back(alternatives.substr(0, end));
    alternatives.remove_prefix(std::min(end + 1, alternatives.size()));
  }
  return names;
}

}  // namespace

std::span<const KindOfName> kinds_of_names() { return kinds; }

std::vector<std::string> names_for(const OptionSpec& option, const DataFolders& data) {
  if (option.value.find('|') != std::string_view::npos) return parts(option.value);
  const auto kind =
      std::find_if(kinds.begin(), kinds.end(), [&](const KindOfName& k) { return k.option == option.name; });
  return kind == kinds.end() ? Names{} : kind->names(data);
}

}  // namespace shardsim
