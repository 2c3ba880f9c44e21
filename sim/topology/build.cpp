// Machine -> Topology: reads the parts' files, makes the directed links of one node, routes them, and repeats the node.
#include <algorithm>
#include <map>

#include "model/core/error.hpp"
#include "sim/topology/routes.hpp"

namespace shardsim {

namespace {

/// A machine has many parts of few kinds: each kind's file is read once.
template <class Spec>
const Spec& once(std::map<std::string, Spec>& known, const std::string& name, auto read) {
  const auto found = known.find(name);
  return found != known.end() ? found->second : known.emplace(name, read()).first->second;
}

struct NodeBuilder {
  const DeviceCatalog& catalog;
  Machine machine;
  std::vector<std::string>& assumptions;
  NodeLinks node;
  std::vector<GpuSpec> gpus;  ///< by GPU
  CpuSpec cpu;
  int cores = 0;
  Bytes memory;
  Bytes storage;
  bool has_drives = false;
  std::map<std::string, CpuSpec> cpus = {};
  std::map<std::string, NicSpec> nics = {};
  std::map<std::string, DriveSpec> drives = {};

  std::size_t network() const { return machine.parts.size(); }

  void add_link(std::size_t from, std::size_t to, const std::string& id, LinkKind kind, Bandwidth bandwidth,
                double efficiency, Time latency) {
    node.links.push_back({id, kind, bandwidth, efficiency, latency});
    node.ends.emplace_back(from, to);
  }

  void read_gpus(const std::optional<GpuSpec>& instead) {
    std::map<std::string, GpuSpec> known;
    for (std::size_t i : machine.of_kind(PartKind::gpu)) {
      const Part& part = machine.parts[i];
      gpus.push_back(instead ? *instead : once(known, part.device, [&] {
        return catalog.gpu(part.device, part.where, assumptions);
      }));
    }
  }

  void add_numa(std::size_t i, int ordinal) {
    constexpr Time dram_latency(100'000);  // 100 ns: assumed, the usual order of a DRAM access
    const Part& part = machine.parts[i];
    cpu = once(cpus, part.device, [&] { return catalog.cpu(part.device, part.where); });
    node.memory[i] = LinkId(node.links.size());
    add_link(i, i, "dram" + std::to_string(ordinal), LinkKind::memory, part.memory_bandwidth, cpu.memory_efficiency,
             dram_latency);
    cores += part.cores > 0 ? part.cores : cpu.cores;
    memory += part.memory;
  }

  void add_nic(std::size_t i) {
    const Part& part = machine.parts[i];
    const NicSpec& spec = once(nics, part.device, [&] { return catalog.nic(part.device, part.where); });
    // A message crosses two NICs; each end bears half of the latency.
    const Time half(spec.latency.picoseconds() / 2);
    const Bandwidth bandwidth = spec.bandwidth * part.count;
    add_link(i, network(), part.id + ">network", LinkKind::nic, bandwidth, spec.efficiency, half);
    add_link(network(), i, "network>" + part.id, LinkKind::nic, bandwidth, spec.efficiency, half);
  }

  /// The drive's own rates stand for the whole way up to its port.
  void add_drive(std::size_t i, std::size_t port) {
    constexpr Time drive_latency(80'000'000);  // 80 us: assumed, the usual order of a flash read
    const Part& part = machine.parts[i];
    const DriveSpec& spec = once(drives, part.device, [&] { return catalog.drive(part.device, part.where); });
    add_link(i, port, part.id + ">" + machine.parts[port].id, LinkKind::nvme, spec.read * part.count, 1, drive_latency);
    add_link(port, i, machine.parts[port].id + ">" + part.id, LinkKind::nvme, spec.write * part.count, 1,
             drive_latency);
    storage += spec.capacity * part.count;
    has_drives = true;
  }

  void add_links() {
    node.memory.resize(machine.parts.size());
    for (const Wire& wire : machine.wires) {
      const bool a_drive = machine.parts[wire.a].kind == PartKind::drive;
      if (a_drive || machine.parts[wire.b].kind == PartKind::drive) {
        add_drive(a_drive ? wire.a : wire.b, a_drive ? wire.b : wire.a);
        continue;
      }
      for (const auto& [from, to] : {std::pair(wire.a, wire.b), std::pair(wire.b, wire.a)}) {
        add_link(from, to, machine.parts[from].id + ">" + machine.parts[to].id, wire.type.kind, wire.type.bandwidth,
                 wire.type.efficiency, wire.type.latency);
      }
    }
    int numas = 0;
    for (std::size_t i : machine.of_kind(PartKind::numa)) add_numa(i, numas++);
    for (std::size_t i : machine.of_kind(PartKind::nic)) add_nic(i);
  }
};

/// A machine without a NIC that is asked for more than once gets the commonest one.
void add_default_nic(Machine& machine, const LinkCatalog& links, std::vector<std::string>& assumptions) {
  if (!machine.of_kind(PartKind::nic).empty()) return;
  const std::size_t numa = machine.of_kind(PartKind::numa).front();
  Part nic;
  nic.id = "nic0";
  nic.kind = PartKind::nic;
  nic.where = machine.where;
  nic.device = "100GbE";
  machine.parts.push_back(nic);
  machine.wires.push_back({machine.parts.size() - 1, numa, links.find("pcie4x16", machine.where)});
  assumptions.push_back("each node of " + machine.name + " is given one 100GbE NIC");
}

void add_default_drive(Machine& machine, const LinkCatalog& links, std::vector<std::string>& assumptions) {
  if (!machine.of_kind(PartKind::drive).empty()) return;
  const std::size_t numa = machine.of_kind(PartKind::numa).front();
  Part drive;
  drive.id = "nvme0";
  drive.kind = PartKind::drive;
  drive.where = machine.where;
  drive.device = "NVMe-Gen4";
  machine.parts.push_back(drive);
  machine.wires.push_back({machine.parts.size() - 1, numa, links.find("pcie4x4", machine.where)});
  assumptions.push_back(machine.name + " has no drive on record; --nvme is taken as one NVMe-Gen4 drive of that size");
}

/// "gpu0>sw0" of one node, as all nodes together name it: GPUs are counted through, other parts belong to a host.
std::string link_id(const std::string& id, std::size_t node, std::size_t nodes, std::size_t gpus,
                    const std::map<std::string, std::size_t>& gpu_ordinal) {
  const auto end_id = [&](const std::string& part) {
    const auto gpu = gpu_ordinal.find(part);
    if (gpu != gpu_ordinal.end()) return "gpu" + std::to_string(node * gpus + gpu->second);
    if (nodes == 1 || part == "network") return part;
    return "host" + std::to_string(node) + ":" + part;
  };
  const auto arrow = id.find('>');
  if (arrow == std::string::npos) return end_id(id);
  return end_id(id.substr(0, arrow)) + ">" + end_id(id.substr(arrow + 1));
}

}  // namespace

Topology build_topology(const Machine& machine, std::size_t nodes, const DeviceCatalog& catalog,
                        const LinkCatalog& links, const TopologyOptions& options, const std::optional<GpuSpec>& gpu,
                        std::vector<std::string> assumptions) {
  check_machine(machine);
  NodeBuilder builder{catalog, machine, assumptions, {}, {}, {}, 0, {}, {}, false};
  if (nodes > 1) add_default_nic(builder.machine, links, assumptions);
  if (options.nvme && options.nvme->value() > 0) add_default_drive(builder.machine, links, assumptions);
  builder.read_gpus(gpu);
  builder.add_links();
  if (options.host_memory) builder.memory = *options.host_memory;
  if (options.nvme) builder.storage = *options.nvme;

  Topology topology;
  topology.name = machine.name;
  topology.source = machine.where;
  topology.graph = route_node(builder.machine, builder.node, builder.gpus);
  topology.price_per_hour_usd = machine.price_per_hour_usd * static_cast<double>(nodes);
  topology.price_source = machine.price_source;
  topology.host_power_watts = machine.host_power_watts * static_cast<double>(nodes);
  const std::size_t gpus = builder.gpus.size();
  std::map<std::string, std::size_t> gpu_ordinal;
  for (std::size_t i : builder.machine.of_kind(PartKind::gpu)) {
    gpu_ordinal.emplace(builder.machine.parts[i].id, gpu_ordinal.size());
  }
  topology.devices.reserve(nodes * gpus);
  topology.links.reserve(nodes * builder.node.links.size());
  for (std::size_t n = 0; n < nodes; ++n) {
    Host host;
    host.id = "host" + std::to_string(n);
    host.cpu = builder.cpu;
    host.cores = builder.cores;
    host.sockets = std::max(1, (builder.cores + builder.cpu.cores - 1) / builder.cpu.cores);
    host.memory = builder.memory;
    for (std::size_t g = 0; g < gpus; ++g) {
      const DeviceId id(topology.devices.size());
      host.devices.push_back(id);
      topology.devices.push_back({"gpu" + std::to_string(id.index()), builder.gpus[g], HostId(n),
                                  static_cast<int>(topology.graph->gpus[g].numa)});
    }
    topology.hosts.push_back(std::move(host));
    if (builder.has_drives && builder.storage.value() > 0) {
      topology.storages.push_back({"nvme" + std::to_string(n), HostId(n), builder.storage});
    }
    for (const Link& link : builder.node.links) {
      topology.links.push_back(link);
      topology.links.back().id = link_id(link.id, n, nodes, gpus, gpu_ordinal);
    }
  }
  topology.assumptions = std::move(assumptions);
  return topology;
}

}  // namespace shardsim
