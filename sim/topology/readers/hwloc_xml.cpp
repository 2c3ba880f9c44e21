#include "sim/topology/readers/hwloc_xml.hpp"

#include <fmt/format.h>
#include <hwloc.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <type_traits>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/topology/readers/pci.hpp"

namespace shardsim {

namespace {

using PciAttributes = hwloc_obj_attr_u::hwloc_pcidev_attr_s;
using Owned = std::unique_ptr<hwloc_topology, decltype(&hwloc_topology_destroy)>;

Owned load(const std::string& text, const std::string& file) {
  hwloc_topology_t raw = nullptr;
  const InputError unreadable("hwloc cannot read the file", file, "what 'lstopo --of xml' writes");
  if (hwloc_topology_init(&raw) != 0) throw unreadable;
  Owned topology(raw, hwloc_topology_destroy);
  // hwloc counts the zero at the end.
  const bool loaded = hwloc_topology_set_xmlbuffer(raw, text.c_str(), static_cast<int>(text.size() + 1)) == 0 &&
                      hwloc_topology_set_io_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_ALL) == 0 &&
                      hwloc_topology_load(raw) == 0;
  if (!loaded) throw unreadable;
  return topology;
}

/// hwloc hands on whatever number the file says, also one that is no value of the enumeration.
bool hangs_on_host(const hwloc_obj& bridge) {
  std::underlying_type_t<hwloc_obj_bridge_type_t> upstream;
  std::memcpy(&upstream, &bridge.attr->bridge.upstream_type, sizeof(upstream));
  return upstream == HWLOC_OBJ_BRIDGE_HOST;
}

class Reader {
 public:
  Reader(hwloc_topology_t topology, const std::string& file, const DeviceCatalog& devices)
      : topology_(topology), devices_(devices) {
    sketch_.where = file;
  }

  Sketch read() {
    std::vector<hwloc_obj_t> bridges;
    for (hwloc_obj_t numa = nullptr;
         (numa = hwloc_get_next_obj_by_type(topology_, HWLOC_OBJ_NUMANODE, numa)) != nullptr;)
      add_numa(numa);
    for (hwloc_obj_t io = nullptr; (io = hwloc_get_next_bridge(topology_, io)) != nullptr;) {
      if (hangs_on_host(*io)) bridges.push_back(io);
    }
    for (hwloc_obj_t bridge : bridges) {
      const std::size_t numa = numa_of(bridge);
      for (hwloc_obj_t child = bridge->io_first_child; child != nullptr; child = child->next_sibling)
        hang(sketch_, node(child), numa);
    }
    for (hwloc_obj_t pci = nullptr; (pci = hwloc_get_next_pcidev(topology_, pci)) != nullptr;) {
      if (pci->parent != nullptr && pci->parent->type != HWLOC_OBJ_BRIDGE) hang(sketch_, node(pci), numa_of(pci));
    }
    return std::move(sketch_);
  }

 private:
  /// The CPU whose name's words all stand in the model that the machine reports.
  std::string cpu_named(const char* model) const {
    if (model == nullptr) return "";
    const std::string text = normalized_name(model);
    std::string best;
    for (const std::string& name : devices_.cpu_names()) {
      bool all = true;
      for (std::size_t begin = 0; begin < name.size();) {
        const std::size_t end = std::min(name.find('-', begin), name.size());
        all = all && text.find(normalized_name(name.substr(begin, end - begin))) != std::string::npos;
        begin = end + 1;
      }
      if (all && name.size() > best.size()) best = name;
    }
    return best;
  }

  void add_numa(hwloc_obj_t object) {
    Part numa;
    numa.id = "numa" + std::to_string(numas_.size());
    numa.kind = PartKind::numa;
    numa.memory =
        Bytes(static_cast<std::int64_t>(std::min<std::uint64_t>(object->attr->numanode.local_memory, 1ULL << 62)));
    numa.cores = object->cpuset == nullptr
                     ? 0
                     : hwloc_get_nbobjs_inside_cpuset_by_type(topology_, object->cpuset, HWLOC_OBJ_CORE);
    hwloc_obj_t package = object;
    while (package != nullptr && package->type != HWLOC_OBJ_PACKAGE) package = package->parent;
    if (package != nullptr) numa.device = cpu_named(hwloc_obj_get_info_by_name(package, "CPUModel"));
    if (numa.memory.value() == 0 && numa.cores == 0) return;
    sketch_.add(numa);
    numas_.push_back(object);
  }

  std::size_t numa_of(hwloc_obj_t io) const {
    const hwloc_obj_t place = hwloc_get_non_io_ancestor_obj(topology_, io);
    for (std::size_t i = 0; i < numas_.size(); ++i) {
      if (place != nullptr && place->nodeset != nullptr && hwloc_bitmap_isset(place->nodeset, numas_[i]->os_index) != 0)
        return i;
    }
    return 0;
  }

  PciNode node(hwloc_obj_t object) {
    PciNode found;
    if (object->type == HWLOC_OBJ_BRIDGE) {
      found.bytes_per_second = speed(object->attr->bridge.upstream.pci);
      for (hwloc_obj_t child = object->io_first_child; child != nullptr; child = child->next_sibling)
        found.below.push_back(node(child));
      return found;
    }
    if (object->type != HWLOC_OBJ_PCI_DEVICE) return found;
    const PciAttributes& pci = object->attr->pcidev;
    found.bytes_per_second = speed(pci);
    Part part;
    part.where = fmt::format("{}: {:04x}:{:02x}:{:02x}.{}", sketch_.where, pci.domain, pci.bus, pci.dev, pci.func);
    switch (pci_kind(pci.class_id, pci.vendor_id)) {
      case PciKind::gpu:
        part.kind = PartKind::gpu;
        part.id = "gpu" + std::to_string(gpus_++);
        part.device = devices_.gpu_of_pci_id(fmt::format("{:04x}:{:04x}", pci.vendor_id, pci.device_id));
        break;
      case PciKind::nic:
        // Onboard Ethernet hangs on a lane or two of an old generation.
        if (found.bytes_per_second > 0 && found.bytes_per_second < 3e9) return {};
        part.kind = PartKind::nic;
        part.id = "nic" + std::to_string(nics_++);
        break;
      case PciKind::drive:
        part.kind = PartKind::drive;
        part.id = "nvme" + std::to_string(drives_++);
        break;
      case PciKind::bridge:
      case PciKind::other:
        return {};
    }
    found.part = sketch_.add(part);
    return found;
  }

  static double speed(const PciAttributes& pci) { return static_cast<double>(pci.linkspeed) * 1e9; }

  hwloc_topology_t topology_;
  const DeviceCatalog& devices_;
  Sketch sketch_;
  std::vector<hwloc_obj_t> numas_;
  int gpus_ = 0, nics_ = 0, drives_ = 0;
};

}  // namespace

Sketch read_hwloc_xml(std::string_view text, const std::string& file, const DeviceCatalog& devices) {
  const std::string copy(text);
  const Owned topology = load(copy, file);
  return Reader(topology.get(), file, devices).read();
}

}  // namespace shardsim
