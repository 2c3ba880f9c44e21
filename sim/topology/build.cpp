// Machine -> Topology: reads the parts' files, makes the directed links of one node, routes them, and repeats the node.
#include <algorithm>
#include <map>

#include "model/core/error.hpp"
#include "sim/topology/fabric.hpp"
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
  Fabric fabric = {};
  Link port = {};  ///< what leaves a node: its NICs' links together
  std::map<std::string, CpuSpec> cpus = {};
  std::map<std::string, NicSpec> nics = {};
  std::map<std::string, DriveSpec> drives = {};

  std::size_t network() const { return machine.parts.size(); }

  LinkEnd end(std::size_t part) const {
    if (part == network()) return {"network", {}};
    const std::vector<std::size_t> all = machine.of_kind(PartKind::gpu);
    const auto gpu = std::find(all.begin(), all.end(), part);
    if (gpu == all.end()) return {machine.parts[part].id, {}};
    return {machine.parts[part].id, static_cast<std::size_t>(gpu - all.begin())};
  }

  void add_link(std::size_t from, std::size_t to, LinkKind kind, Bandwidth bandwidth, double efficiency, Time latency) {
    node.links.push_back({kind, bandwidth, efficiency, latency});
    node.ends.emplace_back(from, to);
    node.names.push_back({end(from), end(to)});
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
    add_link(i, i, LinkKind::memory, part.memory_bandwidth, cpu.memory_efficiency, dram_latency);
    node.names.back() = {{"dram" + std::to_string(ordinal), {}}};
    cores += part.cores > 0 ? part.cores : cpu.cores;
    memory += part.memory;
  }

  void add_nic(std::size_t i) {
    const Part& part = machine.parts[i];
    const NicSpec& spec = once(nics, part.device, [&] { return catalog.nic(part.device, part.where); });
    // A message crosses two NICs; each end bears half of the latency.
    const Time half(spec.latency.picoseconds() / 2);
    const Bandwidth bandwidth = fabric.port ? *fabric.port : spec.bandwidth * part.count;
    port.bandwidth = Bandwidth{port.bandwidth.bytes_per_second + bandwidth.bytes_per_second};
    port.efficiency = part.efficiency.value_or(spec.efficiency);
    add_link(i, network(), LinkKind::nic, bandwidth, port.efficiency, half);
    add_link(network(), i, LinkKind::nic, bandwidth, port.efficiency, half);
  }

  /// The drive's own rates stand for the whole way up to its port.
  void add_drive(std::size_t i, std::size_t at) {
    constexpr Time drive_latency(80'000'000);  // 80 us: assumed, the usual order of a flash read
    const Part& part = machine.parts[i];
    const DriveSpec& spec = once(drives, part.device, [&] { return catalog.drive(part.device, part.where); });
    add_link(i, at, LinkKind::nvme, spec.read * part.count, 1, drive_latency);
    add_link(at, i, LinkKind::nvme, spec.write * part.count, 1, drive_latency);
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
        add_link(from, to, wire.type.kind, wire.type.bandwidth, wire.efficiency.value_or(wire.type.efficiency),
                 wire.latency.value_or(wire.type.latency));
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

/// One port in place of the NICs, at the first NUMA node.
void put_ethernet(Machine& machine, const std::string& text, const LinkCatalog& links,
                  std::vector<std::string>& assumptions) {
  drop_nics(machine);
  Part nic;
  nic.id = "nic0";
  nic.kind = PartKind::nic;
  nic.where = "--fabric";
  nic.device = "100GbE";  // its efficiency and latency
  machine.parts.push_back(nic);
  machine.wires.push_back(
      {machine.parts.size() - 1, machine.of_kind(PartKind::numa).front(), links.find("pcie5x16", nic.where)});
  assumptions.push_back("each node is joined by one Ethernet port (--fabric " + text +
                        ") in place of its NICs, with the efficiency and latency of TCP over 100GbE");
}

/// Each leaf's links to the spine and back: what its nodes' NICs carry together, less the oversubscription.
std::vector<Link> leaf_links(const Fabric& fabric, const Link& port, std::size_t nodes,
                             std::vector<std::string>& assumptions) {
  std::vector<Link> links;
  constexpr Time hop(300'000);  // 0.3 us: assumed, the usual order of a switch
  for (std::size_t leaf = 0; leaf * fabric.nodes_a_leaf < nodes; ++leaf) {
    const std::size_t below = std::min(fabric.nodes_a_leaf, nodes - leaf * fabric.nodes_a_leaf);
    const double up = port.bandwidth.bytes_per_second * static_cast<double>(below) / fabric.oversubscription;
    links.insert(links.end(), 2, Link{LinkKind::network, Bandwidth{up}, port.efficiency, hop});
  }
  const std::string below = fabric.nodes_a_leaf == 1
                                ? "each node has a leaf switch of its own"
                                : "each leaf switch has " + std::to_string(fabric.nodes_a_leaf) + " nodes";
  assumptions.push_back(below +
                        " (fat-tree:OVERSUBSCRIPTION:NODES says otherwise); traffic between leaves shares their "
                        "links to the spine");
  return links;
}

/// All that a GPU's kernels take their time from.
GpuSpec slowed(GpuSpec spec, double speed) {
  for (FlopRate* rate : {&spec.matmul_f32, &spec.matmul_16bit, &spec.matmul_f8})
    *rate = FlopRate{rate->flops_per_second * speed};
  spec.memory_bandwidth = spec.memory_bandwidth * speed;
  spec.kernel_floor = Time::from_seconds(spec.kernel_floor.seconds() / speed);
  return spec;
}

void slow_gpus(Topology& topology, const std::string& text, std::vector<std::string>& assumptions) {
  for (const SlowGpu& slow : parse_slow_gpus(text, topology.devices.size())) {
    Device& device = topology.devices.set_apart(slow.device);
    device.speed = slow.speed;
    device.spec = slowed(device.spec, slow.speed);
    std::string speed = std::to_string(slow.speed);
    speed.erase(speed.find_last_not_of('0') + 1);
    if (speed.ends_with('.')) speed.pop_back();
    assumptions.push_back("every kernel of " + topology.name_of(DeviceId(slow.device)) + " takes 1 / " + speed +
                          " of its time (--slow-gpu); what the host and links do keeps its speed");
  }
}

}  // namespace

Topology build_topology(const Machine& machine, std::size_t nodes, const DeviceCatalog& catalog,
                        const LinkCatalog& links, const TopologyOptions& options, const std::optional<GpuSpec>& gpu,
                        std::vector<std::string> assumptions) {
  check_machine(machine);
  if (const std::size_t gpus = machine.of_kind(PartKind::gpu).size(); nodes > most_gpus / gpus) {
    throw InputError(std::to_string(nodes) + " nodes of " + std::to_string(gpus) + " GPUs are too many", machine.where,
                     "at most " + std::to_string(most_gpus) + " GPUs");
  }
  NodeBuilder builder{catalog, machine, assumptions, {}, {}, {}, 0, {}, {}, false};
  builder.fabric = parse_fabric(options.fabric);
  if (nodes == 1 && !options.fabric.empty()) {
    throw InputError("the topology has one node, and a fabric joins several", "--fabric " + options.fabric,
                     "a topology such as 2x8xH100");
  }
  if (builder.fabric.kind == Fabric::Kind::ethernet) put_ethernet(builder.machine, options.fabric, links, assumptions);
  if (nodes > 1) add_default_nic(builder.machine, links, assumptions);
  if (options.nvme && options.nvme->value() > 0) add_default_drive(builder.machine, links, assumptions);
  builder.read_gpus(gpu);
  builder.add_links();
  if (options.host_memory) builder.memory = *options.host_memory;
  if (options.nvme) builder.storage = *options.nvme;

  Topology topology;
  topology.name = machine.name;
  topology.source = machine.where;
  topology.collectives = machine.collectives;
  const bool has_leaves = builder.fabric.kind == Fabric::Kind::fat_tree;
  topology.graph = route_node(builder.machine, builder.node, builder.gpus,
                              {builder.fabric.kind == Fabric::Kind::rail, has_leaves ? builder.fabric.nodes_a_leaf : 0,
                               nodes * builder.node.links.size()});
  topology.price_per_hour_usd = machine.price_per_hour_usd * static_cast<double>(nodes);
  topology.price_source = machine.price_source;
  topology.rack_units = machine.rack_units * static_cast<double>(nodes);
  topology.host_power_watts = machine.host_power_watts * static_cast<double>(nodes);
  std::vector<Device> devices;
  for (std::size_t g = 0; g < builder.gpus.size(); ++g) {
    builder.gpus[g].default_systems.clear();  // of use to load_topology() only
    devices.push_back({builder.gpus[g], static_cast<int>(topology.graph->gpus[g].numa)});
  }
  topology.devices = {std::move(devices), nodes};
  const int sockets = std::max(1, (builder.cores + builder.cpu.cores - 1) / builder.cpu.cores);
  topology.hosts = {{Host{builder.cpu, sockets, builder.cores, builder.memory}}, nodes};
  if (builder.has_drives && builder.storage.value() > 0) {
    for (std::size_t n = 0; n < nodes; ++n) {
      topology.storages.push_back({"nvme" + std::to_string(n), HostId(n), builder.storage});
    }
  }
  std::vector<Link> leaves;
  if (has_leaves) leaves = leaf_links(builder.fabric, builder.port, nodes, assumptions);
  topology.links = {std::move(builder.node.links), nodes, std::move(leaves)};
  slow_gpus(topology, options.slow_gpus, assumptions);
  topology.assumptions = std::move(assumptions);
  return topology;
}

}  // namespace shardsim
