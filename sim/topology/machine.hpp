// One node as parts and wires: what a DOT file or a shorthand says, before it is multiplied and routed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/topology/collective_figures.hpp"
#include "sim/topology/link_type.hpp"

namespace shardsim {

enum class PartKind : std::uint8_t { gpu, pcie_switch, numa, nvswitch, nic, drive };

struct Part {
  std::string id;
  PartKind kind = PartKind::gpu;
  std::string where;                      ///< "topologies/x.dot:12: gpu0", for messages
  std::string device;                     ///< gpu, nic, drive; of a numa node: its CPU
  int count = 1;                          ///< nic, drive: alike parts that work as one
  int cores = 0;                          ///< numa; 0: all of the CPU's
  Bytes memory;                           ///< numa
  Bandwidth memory_bandwidth;             ///< numa, datasheet
  std::optional<double> efficiency = {};  ///< nic: measured here, in place of the device's
};

struct Wire {
  std::size_t a = 0, b = 0;  ///< indices into Machine::parts
  LinkType type;
  std::optional<double> efficiency = {};  ///< measured here, in place of the type's
  std::optional<Time> latency = {};       ///< likewise
};

/// Parts in natural order of their ids ("gpu2" before "gpu10").
struct Machine {
  std::string name;
  std::string where;
  double price_per_hour_usd = 0;
  std::string price_source;
  double host_power_watts = 0;
  double rack_units = 0;  ///< 0: not known
  CollectiveFigures collectives = {};
  std::vector<Part> parts;
  std::vector<Wire> wires;

  std::vector<std::size_t> of_kind(PartKind kind) const;
};

/// Drops all but the first `count` GPUs.
void keep_gpus(Machine& machine, std::size_t count);
void drop_nics(Machine& machine);
/// Routes are held for every pair of a node's GPUs.
inline constexpr std::size_t most_gpus_of_machine = 256;
inline constexpr std::size_t most_parts_of_machine = 2048;
/// Of all nodes together.
inline constexpr std::size_t most_gpus = 65536;

/// Throws InputError unless there are GPUs, not more than above, each reaches a NUMA node, and all NUMA nodes with
/// parts reach one another.
void check_machine(const Machine& machine);

/// The machine `nodes` times, joined by its NICs as the fabric of `options` says. Reads the parts' files; `gpu` stands
/// in for the devices of all GPUs. Of `options` the sizes, the fabric and the slow GPUs count.
Topology build_topology(const Machine& machine, std::size_t nodes, const DeviceCatalog& catalog,
                        const LinkCatalog& links, const TopologyOptions& options, const std::optional<GpuSpec>& gpu,
                        std::vector<std::string> assumptions);

}  // namespace shardsim
