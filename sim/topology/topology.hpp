// The machine as a graph: devices, switches, sockets, memories and drives joined by directed links.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/core/id.hpp"
#include "model/core/units.hpp"
#include "sim/topology/collective_figures.hpp"
#include "sim/topology/device.hpp"
#include "sim/topology/repeated.hpp"

namespace shardsim {

using DeviceId = Id<struct DeviceTag>;
using HostId = Id<struct HostTag>;
using StorageId = Id<struct StorageTag>;
using LinkId = Id<struct LinkTag>;

enum class LinkKind : std::uint8_t { nvlink, pcie, interconnect, nic, network, memory, nvme };
std::string_view name_of(LinkKind kind);

/// One direction of a wire, or a shared medium (DRAM: reads and writes share it).
struct Link {
  LinkKind kind = LinkKind::pcie;
  Bandwidth bandwidth;    ///< as the datasheet says, per direction
  double efficiency = 1;  ///< fraction of it that payload reaches (measured; see topologies/*.yaml)
  Time latency;
  Bandwidth effective() const { return bandwidth * efficiency; }
};

struct Device {
  GpuSpec spec;
  int socket = 0;    ///< NUMA node index on its host
  double speed = 1;  ///< --slow-gpu: its kernels take 1 / speed as long; `spec` is slowed already
};

/// One node's processor side. Memory is one pool a host; its bandwidth is one `memory` link a NUMA node.
struct Host {
  CpuSpec cpu;
  int sockets = 1;
  int cores = 0;  ///< of all sockets together (those of the virtual machine, in a cloud)
  Bytes memory;
};

struct Storage {
  std::string id;  ///< "nvme0": the drives of a host as one volume
  HostId host;
  Bytes capacity;
};

/// How much of each link one byte of a flow takes: a copy crosses each link of its route once; a collective's share
/// of a link may be a fraction of its amount or several times it.
struct LinkUse {
  LinkId link;
  double share = 1;
};

/// One direction of a ring over the members of a process group, closed; `weight` is the part of the data it carries.
struct Ring {
  std::vector<DeviceId> order;
  double weight = 1;
};

/// What the rings of a process group put on links when every member sends one unit to its next neighbour. Groups treat
/// all nodes alike, so what one node's links carry is what all nodes' do.
struct RingLoads {
  std::vector<double> node;  ///< by link of one node
  double leaf = 0;           ///< each link between a leaf switch and the spine
  RingLoads& operator+=(const RingLoads& other);
};

class Topology {
 public:
  std::string name;  ///< "dgx-a100", "4xA100-SXM4-80GB"
  std::string source;
  Repeated<Device> devices;  ///< node after node
  Repeated<Host> hosts;
  std::vector<Storage> storages;
  Repeated<Link> links;                  ///< node after node, then those between leaf switches and spine
  std::vector<std::string> assumptions;  ///< what was completed from the catalogue, one sentence each
  double price_per_hour_usd = 0;         ///< whole machine, 0 = unknown
  std::string price_source;
  double host_power_watts = 0;  ///< of all hosts, 0 = unknown
  double rack_units = 0;        ///< of all hosts, 0 = unknown
  CollectiveFigures collectives;

  std::string name_of(DeviceId device) const { return "gpu" + std::to_string(device.index()); }
  std::string name_of(HostId host) const { return "host" + std::to_string(host.index()); }
  /// "gpu0>sw0", "host1:dram0"
  std::string name_of(LinkId link) const;
  HostId host_of(DeviceId device) const { return HostId(device.index() / devices_a_host()); }
  std::size_t devices_a_host() const { return devices.size() / hosts.size(); }

  /// Links crossed between a device and the DRAM of its own NUMA node, the `memory` link included.
  std::vector<LinkUse> host_to_device(DeviceId device) const;
  std::vector<LinkUse> device_to_host(DeviceId device) const;
  /// The DRAM of the device's NUMA node: what a CPU optimizer of that rank reads and writes.
  std::vector<LinkUse> host_memory(DeviceId device) const;
  /// Between two devices: NVLink where it joins them, else PCIe peer to peer where both allow it, else staged through
  /// host memory (then the DRAM links stand in the route, written once and read once).
  std::vector<LinkUse> device_to_device(DeviceId from, DeviceId to) const;
  std::vector<LinkUse> storage_to_host(StorageId storage) const;
  std::vector<LinkUse> host_to_storage(StorageId storage) const;

  /// Rings over `group` as NCCL would lay them: through NVLink where the members' links allow it (several link-disjoint
  /// rings on a mesh), else along the PCIe tree in bus order, node after node. Weights sum to 1.
  std::vector<Ring> rings(std::span<const DeviceId> group) const;
  /// Of the rings over the devices in these places of every node: of all nodes as one group, or of each node as a group
  /// of its own.
  RingLoads ring_loads(std::span<const std::size_t> places, bool across_nodes) const;
  /// True when every pair in the group is joined by NVLink through a switch (NVSwitch).
  bool is_switched(std::span<const DeviceId> group) const;

  struct Graph;  ///< the Boost.Graph, out of sight (routes.cpp)
  std::shared_ptr<const Graph> graph;
};

/// Reads what --topology says: "4xA100", "2x8xH100", a named system (a file of `folder` without its ending), a path to
/// a DOT file, or "@FILE", a machine's own description (readers/machine_file.hpp). `gpu` (may be empty) names or
/// narrows the device. Throws InputError: unknown names with the nearest known ones, an unreachable GPU, a malformed
/// file with its line.
struct TopologyOptions {
  std::string gpu = {};
  std::optional<Bytes> host_memory = {};  ///< --host-memory: per node
  std::optional<Bytes> nvme = {};         ///< --nvme: per node
  std::string fabric = {};     ///< --fabric: what joins the nodes (fabric.hpp); empty: a non-blocking network
  std::string slow_gpus = {};  ///< --slow-gpu: "3:0.8,5:0.5", GPUs that run slower than they should
};
Topology load_topology(std::string_view text, const TopologyOptions& options, const std::filesystem::path& folder);
/// Names of the shipped systems, sorted.
std::vector<std::string> system_names(const std::filesystem::path& folder);

}  // namespace shardsim
