#include "sim/topology/machine.hpp"

#include <numeric>

#include "model/core/error.hpp"

namespace shardsim {

namespace {

/// Which parts hang together over the wires that `usable` admits.
std::vector<std::size_t> components(const Machine& machine, auto usable) {
  std::vector<std::size_t> root(machine.parts.size());
  std::iota(root.begin(), root.end(), std::size_t{0});
  const auto find = [&](std::size_t at) {
    while (root[at] != at) at = root[at] = root[root[at]];
    return at;
  };
  for (const Wire& wire : machine.wires) {
    if (usable(wire)) root[find(wire.a)] = find(wire.b);
  }
  for (std::size_t i = 0; i < root.size(); ++i) root[i] = find(i);
  return root;
}

/// GPUs, NICs and drives are leaves: what hangs on two ports could carry traffic between them.
void check_ports(const Machine& machine) {
  std::vector<int> ports(machine.parts.size(), 0);
  for (const Wire& wire : machine.wires) {
    const PartKind a = machine.parts[wire.a].kind, b = machine.parts[wire.b].kind;
    if (b == PartKind::pcie_switch || b == PartKind::numa) ++ports[wire.a];
    if (a == PartKind::pcie_switch || a == PartKind::numa) ++ports[wire.b];
  }
  for (std::size_t i = 0; i < machine.parts.size(); ++i) {
    const Part& part = machine.parts[i];
    const bool leaf = part.kind == PartKind::gpu || part.kind == PartKind::nic || part.kind == PartKind::drive;
    if (leaf && ports[i] > 1) {
      throw InputError("'" + part.id + "' hangs on " + std::to_string(ports[i]) + " ports of the host", part.where,
                       "one edge to a PCIe switch or NUMA node");
    }
  }
}

}  // namespace

std::vector<std::size_t> Machine::of_kind(PartKind kind) const {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].kind == kind) found.push_back(i);
  }
  return found;
}

namespace {

void keep_parts(Machine& machine, auto keeps) {
  constexpr std::size_t dropped = SIZE_MAX;
  std::vector<std::size_t> moved(machine.parts.size(), dropped);
  std::vector<Part> parts;
  for (std::size_t i = 0; i < machine.parts.size(); ++i) {
    if (!keeps(machine.parts[i])) continue;
    moved[i] = parts.size();
    parts.push_back(machine.parts[i]);
  }
  std::vector<Wire> wires;
  for (const Wire& wire : machine.wires) {
    if (moved[wire.a] == dropped || moved[wire.b] == dropped) continue;
    wires.push_back(wire);
    wires.back().a = moved[wire.a];
    wires.back().b = moved[wire.b];
  }
  machine.parts = std::move(parts);
  machine.wires = std::move(wires);
}

}  // namespace

void keep_gpus(Machine& machine, std::size_t count) {
  std::size_t gpus = 0;
  keep_parts(machine, [&](const Part& part) { return part.kind != PartKind::gpu || gpus++ < count; });
}

void drop_nics(Machine& machine) {
  keep_parts(machine, [](const Part& part) { return part.kind != PartKind::nic; });
}

void check_machine(const Machine& machine) {
  if (machine.parts.size() > most_parts_of_machine || machine.of_kind(PartKind::gpu).size() > most_gpus_of_machine) {
    throw InputError("the machine has " + std::to_string(machine.of_kind(PartKind::gpu).size()) + " GPUs and " +
                         std::to_string(machine.parts.size()) + " parts in all",
                     machine.where,
                     "one node a file, at most " + std::to_string(most_gpus_of_machine) + " GPUs and " +
                         std::to_string(most_parts_of_machine) + " parts; '8xNAME' for eight nodes");
  }
  if (machine.of_kind(PartKind::gpu).empty()) {
    throw InputError("the machine has no GPU", machine.where, "at least one node with kind=gpu");
  }
  const std::vector<std::size_t> numa = machine.of_kind(PartKind::numa);
  if (numa.empty()) {
    throw InputError("the machine has no host memory", machine.where, "at least one node with kind=numa");
  }
  const auto is = [&](std::size_t part, PartKind kind) { return machine.parts[part].kind == kind; };
  check_ports(machine);
  // The host is reached through switches and sockets, never through another GPU.
  const auto host_side = components(machine, [&](const Wire& wire) {
    const bool joins_gpus = is(wire.a, PartKind::gpu) && is(wire.b, PartKind::gpu);
    return !joins_gpus && !is(wire.a, PartKind::nvswitch) && !is(wire.b, PartKind::nvswitch);
  });
  for (std::size_t i = 0; i < machine.parts.size(); ++i) {
    const Part& part = machine.parts[i];
    if (part.kind == PartKind::nvswitch || host_side[i] == host_side[numa[0]]) continue;
    const bool has_dram = part.kind == PartKind::numa;
    throw InputError(
        "'" + part.id +
            (has_dram ? "' is cut off from '" + machine.parts[numa[0]].id + "'" : "' has no path to host memory"),
        part.where, "edges that lead to a kind=numa node through PCIe or the sockets' interconnect");
  }
}

}  // namespace shardsim
