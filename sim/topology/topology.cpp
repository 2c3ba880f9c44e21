#include "sim/topology/topology.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/topology/box.hpp"
#include "sim/topology/dot.hpp"
#include "sim/topology/named_machine.hpp"
#include "sim/topology/readers/machine_file.hpp"
#include "sim/topology/shorthand.hpp"

namespace shardsim {

namespace {

/// "3x@box.txt": how many nodes, then the file.
std::optional<std::size_t> nodes_of_file(std::string_view& text) {
  const auto at = text.find('@');
  if (at == std::string_view::npos) return std::nullopt;
  std::size_t nodes = 1;
  if (at > 0) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + at, nodes);
    if (error != std::errc{} || end + 1 != text.data() + at || *end != 'x') return std::nullopt;
    if (nodes < 1 || nodes > 8192) {
      throw InputError("'" + std::string(text.substr(0, at)) + "' is no usable count of nodes",
                       fmt::format("--topology {}", text), "from 1x to 8192x");
    }
  }
  text.remove_prefix(at + 1);
  return nodes;
}

struct Loader {
  Catalogs catalogs;
  std::string gpu;  ///< --gpu
  std::vector<std::string> assumptions = {};

  std::optional<GpuSpec> named_gpu() {
    if (gpu.empty()) return std::nullopt;
    return catalogs.devices.gpu(gpu, "--gpu", assumptions);
  }

  /// Throws InputError, for a device without a count and a file without what says that it is one, with what is missing.
  Shorthand shorthand(std::string_view text) const {
    try {
      return parse_shorthand(text, system_names(catalogs.folder));
    } catch (const UnknownName&) {
      const std::string name(text);
      if (std::filesystem::is_regular_file(name)) {
        throw InputError("'" + name + "' is a file", "--topology",
                         "@" + name + " for what nvidia-smi topo -m, lstopo or NCCL wrote, a name in .dot for a graph");
      }
      if (is_device(text)) {
        throw InputError("'" + name + "' does not say how many", "--topology",
                         fmt::format("1x{0}, 8x{0} or 2x8x{0}", text));
      }
      throw;
    }
  }

  bool is_device(std::string_view text) const {
    std::vector<std::string> ignored;
    try {
      catalogs.devices.gpu(text, "", ignored);
    } catch (const InputError&) {
      return false;
    }
    return true;
  }

  NamedMachine system(const Shorthand& shorthand) {
    Machine machine = read_dot(catalogs.folder / (shorthand.system + ".dot"), catalogs.links);
    if (shorthand.nodes > 1) machine.name = fmt::format("{}x{}", shorthand.nodes, machine.name);
    return {std::move(machine), shorthand.nodes, named_gpu(), std::move(assumptions)};
  }

  NamedMachine counted(const Shorthand& shorthand, const std::string& where) {
    if (shorthand.device.empty() && gpu.empty()) {
      throw InputError("the topology names no device", where, "4xA100, or the device in --gpu");
    }
    const std::optional<GpuSpec> named = named_gpu();
    const GpuSpec spec = named ? *named : catalogs.devices.gpu(shorthand.device, where, assumptions);
    if (named && !normalized_name(spec.name).starts_with(normalized_name(shorthand.device))) {
      assumptions.push_back(fmt::format("--gpu {} stands in for the {} of {}", spec.name, shorthand.device, where));
    }
    Machine machine = usual_machine(spec, shorthand.gpus, catalogs, assumptions);
    if (shorthand.nodes > 1) machine.name = fmt::format("{}x{}", shorthand.nodes, machine.name);
    return {std::move(machine), shorthand.nodes, spec, std::move(assumptions)};
  }

  /// A machine's own description.
  NamedMachine described(const std::filesystem::path& file, std::size_t nodes, const std::string& where) {
    MachineFile found = read_machine_file(file, gpu, catalogs, assumptions);
    nodes *= found.nodes;
    if (!found.machine) return counted({nodes, found.gpus, "", ""}, where);
    if (nodes > 1) found.machine->name = fmt::format("{}x{}", nodes, found.machine->name);
    return {std::move(*found.machine), nodes, named_gpu(), std::move(assumptions)};
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

NamedMachine load_machine(std::string_view text, const std::string& gpu, const Catalogs& catalogs) {
  if (text.empty())
    throw InputError("the topology is empty", "--topology", "4xA100, a system such as dgx-a100, or a DOT file");
  Loader loader{catalogs, gpu};
  const std::string where = fmt::format("--topology {}", text);
  std::string_view rest = text;
  if (const auto nodes = nodes_of_file(rest)) return loader.described(std::string(rest), *nodes, where);
  const std::filesystem::path file{std::string(text)};
  if (file.extension() == ".dot" || text.find('/') != std::string_view::npos) {
    return {read_dot(file, catalogs.links), 1, loader.named_gpu(), std::move(loader.assumptions)};
  }
  const Shorthand shorthand = loader.shorthand(text);
  return shorthand.system.empty() ? loader.counted(shorthand, where) : loader.system(shorthand);
}

Topology load_topology(std::string_view text, const TopologyOptions& options, const std::filesystem::path& folder) {
  const Catalogs catalogs(folder);
  NamedMachine named = load_machine(text, options.gpu, catalogs);
  return build_topology(named.machine, named.nodes, catalogs.devices, catalogs.links, options, named.gpu,
                        std::move(named.assumptions));
}

}  // namespace shardsim
