#include "sim/topology/topology.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/topology/box.hpp"
#include "sim/topology/dot.hpp"
#include "sim/topology/shorthand.hpp"

namespace shardsim {

namespace {

struct Loader {
  std::filesystem::path folder;
  DeviceCatalog catalog;
  LinkCatalog links;
  TopologyOptions options;
  std::vector<std::string> assumptions = {};

  Topology build(const Machine& machine, std::size_t nodes, const std::optional<GpuSpec>& gpu) {
    return build_topology(machine, nodes, catalog, links, options, gpu, std::move(assumptions));
  }

  std::optional<GpuSpec> named_gpu() {
    if (options.gpu.empty()) return std::nullopt;
    return catalog.gpu(options.gpu, "--gpu", assumptions);
  }

  Topology system(const Shorthand& shorthand) {
    Machine machine = read_dot(folder / (shorthand.system + ".dot"), links);
    if (shorthand.nodes > 1) machine.name = fmt::format("{}x{}", shorthand.nodes, machine.name);
    return build(machine, shorthand.nodes, named_gpu());
  }

  /// The first GPUs of the device's own system, or a box made up for them.
  Machine machine_for(const GpuSpec& gpu, std::size_t count) {
    for (const std::string& system : gpu.default_systems) {
      Machine machine = read_dot(folder / (system + ".dot"), links);
      const std::size_t held = machine.of_kind(PartKind::gpu).size();
      if (held < count) continue;
      keep_gpus(machine, count);
      machine.name = fmt::format("{}x{}", count, gpu.name);
      machine.price_per_hour_usd = 0;  // the system's price is that of all its GPUs
      machine.host_power_watts *= static_cast<double>(count) / static_cast<double>(held);  // their share
      assumptions.push_back(fmt::format("{} is taken as {}of {}: {}", machine.name,
                                        count == held ? "all GPUs " : fmt::format("{} of the {} GPUs ", count, held),
                                        system, describe_host(machine)));
      return machine;
    }
    return generic_box(gpu, count, links, catalog, assumptions);
  }

  Topology counted(const Shorthand& shorthand, const std::string& where) {
    if (shorthand.device.empty() && options.gpu.empty()) {
      throw InputError("the topology names no device", where, "4xA100, or the device in --gpu");
    }
    const std::optional<GpuSpec> named = named_gpu();
    const GpuSpec gpu = named ? *named : catalog.gpu(shorthand.device, where, assumptions);
    if (named && !normalized_name(gpu.name).starts_with(normalized_name(shorthand.device))) {
      assumptions.push_back(fmt::format("--gpu {} stands in for the {} of {}", gpu.name, shorthand.device, where));
    }
    Machine machine = machine_for(gpu, shorthand.gpus);
    if (shorthand.nodes > 1) machine.name = fmt::format("{}x{}", shorthand.nodes, machine.name);
    return build(machine, shorthand.nodes, gpu);
  }
};

}  // namespace

std::string_view name_of(LinkKind kind) {
  switch (kind) {
    case LinkKind::nvlink:
      return "nvlink";
    case LinkKind::pcie:
      return "pcie";
    case LinkKind::interconnect:
      return "interconnect";
    case LinkKind::nic:
      return "nic";
    case LinkKind::network:
      return "network";
    case LinkKind::memory:
      return "memory";
    case LinkKind::nvme:
      return "nvme";
  }
  return "";
}

std::vector<std::string> system_names(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".dot") names.push_back(entry.path().stem().string());
  }
  if (error) throw InputError("the topology files cannot be read", folder.string(), "a folder of DOT files");
  std::sort(names.begin(), names.end());
  return names;
}

Topology load_topology(std::string_view text, const TopologyOptions& options, const std::filesystem::path& folder) {
  if (text.empty())
    throw InputError("the topology is empty", "--topology", "4xA100, a system such as dgx-a100, or a DOT file");
  if (text.front() == '@') {
    throw InputError("reading a machine's own description is not available yet", fmt::format("--topology {}", text),
                     "4xA100, 2x8xH100, a system such as dgx-a100, or a DOT file");
  }
  Loader loader{folder, DeviceCatalog(folder / "devices"), LinkCatalog(folder / "links.yaml"), options};
  const std::filesystem::path file{std::string(text)};
  if (file.extension() == ".dot" || text.find('/') != std::string_view::npos) {
    return loader.build(read_dot(file, loader.links), 1, loader.named_gpu());
  }
  const Shorthand shorthand = parse_shorthand(text, system_names(folder));
  return shorthand.system.empty() ? loader.counted(shorthand, fmt::format("--topology {}", text))
                                  : loader.system(shorthand);
}

}  // namespace shardsim
