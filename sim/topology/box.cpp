#include "sim/topology/box.hpp"

#include <fmt/format.h>

#include <bit>

#include "sim/topology/dot.hpp"

namespace shardsim {

namespace {

struct HostClass {
  std::size_t most_gpus;
  const char* cpu;
  std::size_t sockets;
};

/// Who builds a machine with so many GPUs uses about such a host. Assumed; the report says so.
constexpr HostClass host_classes[] = {{2, "Ryzen-9-7950X", 1}, {4, "Threadripper-PRO-5975WX", 1}, {64, "EPYC-7742", 2}};

Bytes assumed_dram(const GpuSpec& gpu, std::size_t count) {
  constexpr std::uint64_t least = std::uint64_t{64} << 30;
  const auto twice = static_cast<std::uint64_t>((gpu.memory * static_cast<std::int64_t>(2 * count)).value());
  return Bytes(static_cast<std::int64_t>(std::bit_ceil(std::max(twice, least))));
}

Part make_part(const std::string& id, PartKind kind, const std::string& device, const std::string& where) {
  Part part;
  part.id = id;
  part.kind = kind;
  part.device = device;
  part.where = where;
  return part;
}

}  // namespace

Machine generic_box(const GpuSpec& gpu, std::size_t count, const LinkCatalog& links, const DeviceCatalog& catalog,
                    std::vector<std::string>& assumptions) {
  const HostClass* host = host_classes;
  while (count > host->most_gpus) ++host;
  Machine machine;
  machine.where = "assumed machine";
  machine.name = fmt::format("{}x{}", count, gpu.name);
  const CpuSpec cpu = catalog.cpu(host->cpu, machine.where);
  for (std::size_t s = 0; s < host->sockets; ++s) {
    Part numa = make_part(fmt::format("numa{}", s), PartKind::numa, host->cpu, machine.where);
    numa.memory = Bytes(assumed_dram(gpu, count).value() / static_cast<std::int64_t>(host->sockets));
    numa.memory_bandwidth = cpu.memory_bandwidth;
    machine.parts.push_back(numa);
    if (s > 0) machine.wires.push_back({s - 1, s, links.find("xgmi2x4", machine.where)});
  }
  const std::string port = fmt::format("pcie{}x{}", gpu.pcie_generation, gpu.pcie_lanes);
  const bool switched = gpu.nvlink_switch && count > 1;
  if (switched) machine.parts.push_back(make_part("nvswitch", PartKind::nvswitch, "", machine.where));
  for (std::size_t g = 0; g < count; ++g) {
    const std::size_t index = machine.parts.size();
    machine.parts.push_back(make_part(fmt::format("gpu{}", g), PartKind::gpu, gpu.name, machine.where));
    machine.wires.push_back({index, g * host->sockets / count, links.find(port, machine.where)});
    if (switched) machine.wires.push_back({index, host->sockets, links.find(gpu.nvlink_type, machine.where)});
  }
  assumptions.push_back(fmt::format("{} is taken as a machine with {}, each GPU on its own {} port{}", machine.name,
                                    describe_host(machine), port, switched ? ", joined by an NVSwitch" : ""));
  return machine;
}

Machine usual_machine(const GpuSpec& gpu, std::size_t count, const Catalogs& catalogs,
                      std::vector<std::string>& assumptions) {
  for (const std::string& system : gpu.default_systems) {
    Machine machine = read_dot(catalogs.folder / (system + ".dot"), catalogs.links);
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
  return generic_box(gpu, count, catalogs.links, catalogs.devices, assumptions);
}

std::string describe_host(const Machine& machine) {
  const std::vector<std::size_t> numas = machine.of_kind(PartKind::numa);
  Bytes dram;
  for (std::size_t i : numas) dram += machine.parts[i].memory;
  const Part& first = machine.parts[numas.front()];
  return fmt::format("{}x {}, {:.0f} GiB of DRAM at {:.4g} GB/s a NUMA node", numas.size(), first.device,
                     dram.as_double() / (1 << 30), first.memory_bandwidth.bytes_per_second / 1e9);
}

}  // namespace shardsim
