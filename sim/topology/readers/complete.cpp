// Fills what a machine's own description leaves open, and says so.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "model/core/error.hpp"
#include "sim/topology/box.hpp"
#include "sim/topology/dot_graph.hpp"
#include "sim/topology/readers/pci.hpp"
#include "sim/topology/readers/sketch.hpp"

namespace shardsim {

namespace {

class Completion {
 public:
  Completion(const Sketch& sketch, const Catalogs& catalogs, std::vector<std::string>& assumptions)
      : sketch_(sketch), catalogs_(catalogs), assumptions_(assumptions) {}

  Machine run(const std::string& gpu_option) {
    machine_.name = sketch_.name;
    machine_.where = sketch_.where;
    machine_.parts = sketch_.parts;
    gpus_ = machine_.of_kind(PartKind::gpu);
    numas_ = machine_.of_kind(PartKind::numa);
    if (gpus_.empty()) throw InputError("the file shows no GPU", sketch_.where, "a machine with GPUs");
    if (numas_.empty()) throw InputError("the file shows no NUMA node", sketch_.where, "a machine with host memory");
    name_gpus(gpu_option);
    std::vector<std::string> unused;
    like_ = usual_machine(spec_, gpus_.size(), catalogs_, unused);
    machine_.host_power_watts = like_.host_power_watts;
    machine_.rack_units = like_.rack_units;
    assumptions_.insert(assumptions_.end(), sketch_.assumptions.begin(), sketch_.assumptions.end());
    complete_hosts();
    lay_cables();
    share_hidden_switches();
    join_numa_nodes();
    sketch_.shows_nvlinks ? lay_nvlinks() : assume_nvlinks();
    name_devices(PartKind::nic, "NICs", "100GbE");
    name_devices(PartKind::drive, "drives", "NVMe-Gen4");
    sort_parts();
    return std::move(machine_);
  }

 private:
  std::string file() const { return machine_.name; }

  void name_gpus(const std::string& option) {
    for (std::size_t gpu : gpus_) {
      Part& part = machine_.parts[gpu];
      if (part.device.empty()) part.device = option;
      if (part.device.empty()) {
        throw InputError("the file does not name its GPUs", sketch_.where,
                         "the device in --gpu, such as --gpu A100-SXM4-80GB");
      }
    }
    const std::string& found = machine_.parts[gpus_.front()].device;
    std::vector<std::string> unused;
    spec_ = catalogs_.devices.gpu(option.empty() ? found : option, option.empty() ? sketch_.where : "--gpu", unused);
    if (option.empty()) return;
    if (!sketch_.parts[gpus_.front()].device.empty() && found != spec_.name) {
      assumptions_.push_back(fmt::format("--gpu {} stands in for the {} of {}", spec_.name, found, sketch_.where));
    }
    for (std::size_t gpu : gpus_) machine_.parts[gpu].device = spec_.name;
  }

  void complete_hosts() {
    const std::vector<std::size_t> usual = like_.of_kind(PartKind::numa);
    Bytes dram;
    double bandwidth = 0;
    int cores = 0;
    for (std::size_t i : usual) {
      const Part& part = like_.parts[i];
      dram += part.memory;
      bandwidth += part.memory_bandwidth.bytes_per_second;
      cores += part.cores > 0 ? part.cores : catalogs_.devices.cpu(part.device, part.where).cores;
    }
    const auto shown = static_cast<int>(numas_.size());
    const int all = std::max(shown, sketch_.numa_nodes);
    std::set<std::string> guessed;
    for (std::size_t i : numas_) {
      Part& part = machine_.parts[i];
      const bool knows_cpu = !part.device.empty();
      if (!knows_cpu) part.device = like_.parts[usual.front()].device, guessed.insert("processors");
      // Those that are not shown lend their share to those that are: unbound processes use all channels.
      if (part.memory.value() == 0) part.memory = Bytes(dram.value() / shown), guessed.insert("DRAM");
      part.memory_bandwidth = Bandwidth{bandwidth / shown};
      if (knows_cpu) {
        const CpuSpec cpu = catalogs_.devices.cpu(part.device, part.where);
        part.memory_bandwidth = cpu.memory_bandwidth;
      } else {
        guessed.insert("memory bandwidth");
      }
      part.cores = part.cores > 0 ? part.cores * all / shown : std::max(1, cores / shown);
    }
    if (!guessed.empty()) {
      assumptions_.push_back(fmt::format("{} does not say all of its host; {} are taken as usual with {} x {}: {}",
                                         file(), fmt::join(guessed, ", "), gpus_.size(), spec_.name,
                                         describe_host(machine_)));
    }
  }

  /// The type of wire that carries so much: all 16 lanes of a generation where that is the rate.
  LinkType pcie_of_speed(double bytes_per_second) const {
    LinkType best;
    for (int lanes : {16, 8, 4, 2, 1}) {
      for (int generation = 6; generation >= 3; --generation) {
        const LinkType type = catalogs_.links.find(fmt::format("pcie{}x{}", generation, lanes), sketch_.where);
        const double rate = type.bandwidth.bytes_per_second;
        if (rate <= bytes_per_second * 1.02 && rate > best.bandwidth.bytes_per_second * 1.001) best = type;
      }
    }
    return best.lanes > 0 && !best.name.empty() ? best : catalogs_.links.find("pcie3x1", sketch_.where);
  }

  bool is(std::size_t part, PartKind kind) const { return machine_.parts[part].kind == kind; }

  void lay_cables() {
    const LinkType port =
        catalogs_.links.find(fmt::format("pcie{}x{}", spec_.pcie_generation, spec_.pcie_lanes), sketch_.where);
    bool guessed = false;
    std::vector<std::string> slowed;
    for (const Sketch::Cable& cable : sketch_.cables) {
      const bool ends_in_gpu = is(cable.a, PartKind::gpu) || is(cable.b, PartKind::gpu);
      const bool idle = ends_in_gpu && is_idle_speed(cable.bytes_per_second);
      const double fastest = port.bandwidth.bytes_per_second;
      LinkType type = port;
      if (cable.bytes_per_second == 0 || idle) {
        guessed = guessed || !idle;
        if (idle) slowed.push_back(machine_.parts[cable.a].id);
      } else if (!ends_in_gpu || cable.bytes_per_second < fastest * 0.98) {
        type = pcie_of_speed(cable.bytes_per_second);
      }
      machine_.wires.push_back({cable.a, cable.b, type});
    }
    if (guessed) {
      assumptions_.push_back(fmt::format("PCIe links whose speed {} does not give are taken as {}, that of a {}",
                                         file(), port.name, spec_.name));
    }
    if (!slowed.empty()) {
      assumptions_.push_back(fmt::format("the PCIe links of {} were idle when {} was written and are taken as {}",
                                         fmt::join(slowed, ", "), file(), port.name));
    }
  }

  std::size_t wire_up(const Machine& machine, std::size_t part) const {
    const auto port = [&](std::size_t other) {
      return machine.parts[other].kind == PartKind::numa || machine.parts[other].kind == PartKind::pcie_switch;
    };
    const auto up = std::find_if(machine.wires.begin(), machine.wires.end(), [&](const Wire& wire) {
      return (wire.a == part && port(wire.b)) ||
             (wire.b == part && port(wire.a) && machine.parts[part].kind != PartKind::pcie_switch);
    });
    return static_cast<std::size_t>(up - machine.wires.begin());
  }

  /// NVLink hides which GPUs share a PCIe switch: those do that share one in the machine that such GPUs come in.
  void share_hidden_switches() {
    std::map<std::size_t, std::vector<std::size_t>> sharing;  // by switch of the usual machine
    const std::vector<std::size_t> usual = like_.of_kind(PartKind::gpu);
    for (std::size_t gpu : sketch_.undecided) {
      const auto ordinal = static_cast<std::size_t>(std::find(gpus_.begin(), gpus_.end(), gpu) - gpus_.begin());
      const std::size_t up = wire_up(like_, usual[ordinal]);
      if (up == like_.wires.size()) continue;
      const Wire& wire = like_.wires[up];
      const std::size_t port = wire.a == usual[ordinal] ? wire.b : wire.a;
      if (like_.parts[port].kind == PartKind::pcie_switch) sharing[port].push_back(gpu);
    }
    std::vector<std::string> shared;
    std::map<std::size_t, std::size_t> copies;
    for (const auto& [like_switch, gpus] : sharing) {
      if (gpus.size() < 2) continue;
      const std::size_t below = copy_switch(like_switch, machine_.wires[wire_up(machine_, gpus.front())].b, copies);
      std::vector<std::string> names;
      for (std::size_t gpu : gpus) {
        machine_.wires[wire_up(machine_, gpu)].b = below;
        names.push_back(machine_.parts[gpu].id);
      }
      shared.push_back(fmt::format("{}", fmt::join(names, " and ")));
    }
    if (!shared.empty()) {
      assumptions_.push_back(
          fmt::format("NVLink hides in {} which GPUs share a PCIe switch: taken as usual with {} x {} ({})", file(),
                      gpus_.size(), spec_.name, fmt::join(shared, ", ")));
    }
  }

  /// The switch and those above it up to the host, once each.
  std::size_t copy_switch(std::size_t like_switch, std::size_t numa, std::map<std::size_t, std::size_t>& copies) {
    if (const auto known = copies.find(like_switch); known != copies.end()) return known->second;
    Part part;
    part.kind = PartKind::pcie_switch;
    part.id = "sw" + std::to_string(machine_.of_kind(PartKind::pcie_switch).size());
    part.where = sketch_.where;
    const std::size_t copy = machine_.parts.size();
    machine_.parts.push_back(part);
    copies[like_switch] = copy;
    const Wire up = like_.wires[wire_up(like_, like_switch)];
    const std::size_t port = like_.parts[up.b].kind == PartKind::pcie_switch ? copy_switch(up.b, numa, copies) : numa;
    machine_.wires.push_back({copy, port, up.type});
    return copy;
  }

  void join_numa_nodes() {
    if (numas_.size() < 2) return;
    const auto joins = [&](const Wire& wire) {
      return like_.parts[wire.a].kind == PartKind::numa && like_.parts[wire.b].kind == PartKind::numa;
    };
    const auto usual = std::find_if(like_.wires.begin(), like_.wires.end(), joins);
    const LinkType type = usual != like_.wires.end() ? usual->type : catalogs_.links.find("xgmi2x4", sketch_.where);
    for (std::size_t b = 1; b < numas_.size(); ++b) {
      for (std::size_t a = 0; a < b; ++a) machine_.wires.push_back({numas_[a], numas_[b], type});
    }
    assumptions_.push_back(
        fmt::format("the NUMA nodes of {} are taken to be joined each to each by {}", file(), type.name));
  }

  LinkType peer_type(int links, const std::string& where) const {
    if (spec_.nvlink_peer_type.empty()) {
      throw InputError(fmt::format("GPUs are joined by NVLink, which {} does not have", spec_.name), where,
                       "another device in --gpu");
    }
    return catalogs_.links.find(fmt::format("{}x{}", spec_.nvlink_peer_type, links), where);
  }

  std::size_t add_nvswitch() {
    Part part;
    part.id = "nvswitch";
    part.kind = PartKind::nvswitch;
    part.where = sketch_.where;
    machine_.parts.push_back(part);
    return machine_.parts.size() - 1;
  }

  void join_to_nvswitch(const std::map<std::size_t, int>& links) {
    const std::string lane = spec_.nvlink_type.substr(0, spec_.nvlink_type.rfind('x'));
    if (lane.empty()) {
      throw InputError(fmt::format("the GPUs have an NVSwitch, which {} is not built for", spec_.name), sketch_.where,
                       "another device in --gpu");
    }
    const std::size_t nvswitch = add_nvswitch();
    for (const auto& [gpu, count] : links) {
      machine_.wires.push_back({gpu, nvswitch, catalogs_.links.find(fmt::format("{}x{}", lane, count), sketch_.where)});
    }
  }

  /// What joins all GPUs at a rate that no GPU could give each of them at once is a switch.
  void lay_nvlinks() {
    std::map<std::size_t, int> total, widest = sketch_.to_nvswitch;
    for (const auto& [pair, links] : sketch_.nvlinks) {
      for (std::size_t gpu : std::set{pair.first, pair.second}) {
        total[gpu] += links;
        widest[gpu] = std::max(widest[gpu], links);
      }
    }
    if (widest.empty()) return;
    int most = 0;  // links of one GPU
    if (spec_.nvlink && !spec_.nvlink_peer_type.empty()) {
      const LinkType one = catalogs_.links.find(spec_.nvlink_peer_type, sketch_.where);
      most = static_cast<int>(std::lround(spec_.nvlink->bytes_per_second / one.bandwidth.bytes_per_second));
    } else if (!spec_.nvlink_type.empty()) {
      most = catalogs_.links.find(spec_.nvlink_type, sketch_.where).lanes;
    }
    const bool beyond = std::any_of(total.begin(), total.end(), [&](const auto& gpu) { return gpu.second > most; });
    const bool whole = spec_.nvlink_switch &&
                       std::all_of(widest.begin(), widest.end(), [&](const auto& gpu) { return gpu.second >= most; });
    if (!sketch_.to_nvswitch.empty() || beyond || whole) {
      if (widest.begin()->second > most) {
        throw InputError(fmt::format("'{}' has {} NVLinks, and a {} has {}", machine_.parts[widest.begin()->first].id,
                                     widest.begin()->second, spec_.name, most),
                         sketch_.where, "another device in --gpu");
      }
      join_to_nvswitch(widest);
      return;
    }
    std::vector<std::size_t> dangling;
    for (const auto& [pair, links] : sketch_.nvlinks) {
      if (pair.first == pair.second) {
        dangling.push_back(pair.first);
      } else {
        machine_.wires.push_back({pair.first, pair.second, peer_type(links, sketch_.where)});
      }
    }
    for (std::size_t i = 0; i + 1 < dangling.size(); i += 2) {
      const int links = sketch_.nvlinks.at({dangling[i], dangling[i]});
      machine_.wires.push_back({dangling[i], dangling[i + 1], peer_type(links, sketch_.where)});
    }
    if (!dangling.empty()) {
      assumptions_.push_back(
          fmt::format("{} does not say where NVLinks lead; neighbouring GPUs are taken as bridged pairs", file()));
    }
  }

  void assume_nvlinks() {
    if (!spec_.nvlink || gpus_.size() < 2) return;
    if (spec_.nvlink_switch) {
      const std::size_t nvswitch = add_nvswitch();
      for (std::size_t gpu : gpus_)
        machine_.wires.push_back({gpu, nvswitch, catalogs_.links.find(spec_.nvlink_type, sketch_.where)});
      assumptions_.push_back(fmt::format("{} does not show NVLinks; an NVSwitch is taken to join the {} at {} each",
                                         file(), spec_.name, spec_.nvlink_type));
      return;
    }
    const std::vector<std::size_t> usual = like_.of_kind(PartKind::gpu);
    std::size_t copied = 0;
    for (const Wire& wire : like_.wires) {
      const auto a = static_cast<std::size_t>(std::find(usual.begin(), usual.end(), wire.a) - usual.begin());
      const auto b = static_cast<std::size_t>(std::find(usual.begin(), usual.end(), wire.b) - usual.begin());
      if (wire.type.kind != LinkKind::nvlink || a == usual.size() || b == usual.size()) continue;
      machine_.wires.push_back({gpus_[a], gpus_[b], wire.type});
      ++copied;
    }
    assumptions_.push_back(
        fmt::format("{} does not show NVLinks; {}", file(),
                    copied > 0 ? fmt::format("they are taken as usual with {} x {}", gpus_.size(), spec_.name)
                               : "none are assumed"));
  }

  void name_devices(PartKind kind, const std::string& what, const std::string& otherwise) {
    const std::vector<std::size_t> usual = like_.of_kind(kind);
    const std::string device = usual.empty() ? otherwise : like_.parts[usual.front()].device;
    bool guessed = false;
    for (std::size_t i : machine_.of_kind(kind)) {
      if (!machine_.parts[i].device.empty()) continue;
      machine_.parts[i].device = device;
      guessed = true;
    }
    if (guessed)
      assumptions_.push_back(fmt::format("{} does not name its {}; they are taken as {}", file(), what, device));
  }

  /// As a DOT file is read: in the natural order of ids, which are one each.
  void sort_parts() {
    std::vector<std::size_t> order(machine_.parts.size()), place(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return natural_less(machine_.parts[a].id, machine_.parts[b].id); });
    std::vector<Part> parts;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const Part& part = machine_.parts[order[i]];
      if (!parts.empty() && parts.back().id == part.id) {
        throw InputError("two parts are called '" + part.id + "'", part.where, "names that are one each");
      }
      place[order[i]] = i;
      parts.push_back(part);
    }
    machine_.parts = std::move(parts);
    for (Wire& wire : machine_.wires) wire.a = place[wire.a], wire.b = place[wire.b];
  }

  const Sketch& sketch_;
  const Catalogs& catalogs_;
  std::vector<std::string>& assumptions_;
  Machine machine_, like_;  ///< like_: the machine that such GPUs usually come in
  GpuSpec spec_;
  std::vector<std::size_t> gpus_, numas_;
};

}  // namespace

Machine complete(const Sketch& sketch, const std::string& gpu_option, const Catalogs& catalogs,
                 std::vector<std::string>& assumptions) {
  return Completion(sketch, catalogs, assumptions).run(gpu_option);
}

}  // namespace shardsim
