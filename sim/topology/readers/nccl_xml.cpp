#include "sim/topology/readers/nccl_xml.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <set>

#include "sim/topology/readers/nic_speed.hpp"
#include "sim/topology/readers/pci.hpp"
#include "sim/topology/readers/text_lines.hpp"

namespace shardsim {

namespace {

bool is_link(const XmlElement& element) { return element.name == "nvlink" || element.name == "xgmi"; }

class Reader {
 public:
  Reader(const std::string& file, const DeviceCatalog& devices) : devices_(devices) { sketch_.where = file; }

  Sketch read(const XmlElement& system) {
    std::vector<const XmlElement*> cpus;
    for (const XmlElement& child : system.children) {
      if (child.name == "cpu") cpus.push_back(&child);
    }
    if (cpus.empty()) refuse(system, "the system has no cpu", "<cpu numaid=\"0\"> with the PCI devices in it");
    for (std::size_t i = 0; i < cpus.size(); ++i) {
      Part numa;
      numa.id = "numa" + std::to_string(i);
      numa.kind = PartKind::numa;
      numa.where = at(*cpus[i]);
      sketch_.add(numa);
    }
    sort_bare_devices(cpus);
    for (std::size_t i = 0; i < cpus.size(); ++i) {
      for (const XmlElement& child : cpus[i]->children) hang(sketch_, node(child), i);
    }
    for (const auto& [gpu, element] : gpus_) links(gpu, *element);
    return std::move(sketch_);
  }

 private:
  std::string at(const XmlElement& element) const {
    return sketch_.where + ":" + std::to_string(element.line) + ":" + std::to_string(element.column);
  }
  [[noreturn]] void refuse(const XmlElement& element, const std::string& what, const std::string& right) const {
    refuse_at(sketch_.where, element.line, element.column, what, right);
  }

  template <class Number>
  Number number(const XmlElement& element, const std::string& key, int base, Number most) const {
    std::string_view text = element.attribute(key);
    if (base == 16 && text.starts_with("0x")) text.remove_prefix(2);
    Number value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size() || value > most) {
      refuse(element, "'" + element.attribute(key) + "' is no usable " + key, "a number");
    }
    return value;
  }

  /// "16.0 GT/s PCIe" times lanes; 0 where the file leaves it open.
  double speed(const XmlElement& element) const {
    const std::string& text = element.attribute("link_speed");
    if (text.empty() || text.starts_with("Unknown") || element.attribute("link_width").empty()) return 0;
    const unsigned lanes = number<unsigned>(element, "link_width", 10, 32);
    double transfers = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), transfers);
    const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
    struct Generation {
      double transfers, lane_bytes;
    };
    constexpr Generation generations[] = {{2.5, 0.25e9},   {5, 0.5e9},     {8, 0.984375e9},
                                          {16, 1.96875e9}, {32, 3.9375e9}, {64, 7.5625e9}};
    for (const Generation& generation : generations) {
      if (error == std::errc{} && unit.starts_with(" GT/s") && transfers == generation.transfers)
        return generation.lane_bytes * lanes;
    }
    refuse(element, "'" + text + "' is no usable link_speed", "2.5, 5, 8, 16, 32 or 64 GT/s");
  }

  PciKind kind(const XmlElement& pci) const {
    if (bare_nics_.contains(&pci)) return PciKind::nic;
    if (bare_gpus_.contains(&pci)) return PciKind::gpu;
    for (const XmlElement& child : pci.children) {
      if (child.name == "gpu") return PciKind::gpu;
      if (child.name == "nic") return PciKind::nic;
      if (child.name == "pci") return PciKind::bridge;
    }
    if (pci.attribute("class").empty()) return PciKind::other;
    const unsigned vendor = pci.attribute("vendor").empty() ? 0 : number<unsigned>(pci, "vendor", 16, 0xffff);
    return pci_kind(number<unsigned>(pci, "class", 16, 0xffffff) >> 8, vendor);
  }

  void add_gpu(const XmlElement& pci, PciNode& into) {
    if (pci.attribute("busid").empty()) refuse(pci, "the GPU has no busid", "busid=\"0000:10:1c.0\"");
    Part part;
    part.kind = PartKind::gpu;
    part.id = "gpu" + std::to_string(gpus_.size());
    part.where = at(pci);
    const auto digits = [](const std::string& text) { return text.starts_with("0x") ? text.substr(2) : text; };
    if (!pci.attribute("device").empty())
      part.device = devices_.gpu_of_pci_id(digits(pci.attribute("vendor")) + ":" + digits(pci.attribute("device")));
    into.part = sketch_.add(part);
    gpus_.emplace_back(*into.part, &pci);
  }

  void add_nic(const std::string& name, const std::string& device, const XmlElement& element, PciNode& into) {
    Part part;
    part.kind = PartKind::nic;
    part.id = "nic" + std::to_string(nics_++);
    part.device = device;
    part.where = at(element) + ": " + name;
    into.below.push_back({sketch_.add(part), 0, {}});
  }

  /// The ports of a NIC, each with its speed.
  void add_ports(const XmlElement& nic, PciNode& into) {
    for (const XmlElement& net : nic.children) {
      if (net.name != "net") continue;
      const std::string& name = net.attribute("name");
      const double megabits = net.attribute("speed").empty() ? 0 : number<unsigned>(net, "speed", 10, 100'000'000);
      const std::string device = megabits > 0 ? nic_of_speed(megabits, name, sketch_.assumptions) : "";
      if (megabits == 0 || !device.empty()) add_nic(name, device, net, into);
    }
  }

  PciNode node(const XmlElement& element) {
    PciNode found;
    if (element.name == "nic") add_ports(element, found);
    if (element.name != "pci") return found;
    found.bytes_per_second = speed(element);
    switch (kind(element)) {
      case PciKind::gpu:
        add_gpu(element, found);
        break;
      case PciKind::bridge:
        for (const XmlElement& child : element.children) found.below.push_back(node(child));
        break;
      case PciKind::nic: {
        const auto nic = std::find_if(element.children.begin(), element.children.end(),
                                      [](const XmlElement& child) { return child.name == "nic"; });
        nic != element.children.end() ? add_ports(*nic, found)
                                      : add_nic(element.attribute("busid"), "", element, found);
        break;
      }
      case PciKind::drive:
      case PciKind::other:
        break;
    }
    return found;
  }

  /// Bus ids alone: each NUMA node has as many GPUs as the one with the fewest devices; the others' surplus are NICs.
  void sort_bare_devices(const std::vector<const XmlElement*>& cpus) {
    std::vector<std::vector<const XmlElement*>> bare;
    for (const XmlElement* cpu : cpus) {
      bare.emplace_back();
      for (const XmlElement& child : cpu->children) {
        if (child.name != "pci") continue;
        if (!child.attribute("class").empty() || !child.children.empty()) return;
        bare.back().push_back(&child);
      }
    }
    std::size_t least = bare.front().size();
    for (const auto& devices : bare) least = std::min(least, devices.size());
    std::size_t nics = 0;
    for (const auto& devices : bare) {
      for (std::size_t i = 0; i < devices.size(); ++i) {
        (i < least ? bare_gpus_ : bare_nics_).insert(devices[i]);
        if (i >= least) ++nics;
      }
    }
    if (least > 0) {
      sketch_.assumptions.push_back(fmt::format(
          "{} gives no PCI classes: the first {} devices of each NUMA node are taken as GPUs, the other {} as NICs",
          std::filesystem::path(sketch_.where).filename().string(), least, nics));
    }
  }

  void links(std::size_t gpu, const XmlElement& pci) {
    constexpr std::string_view to_switch = "0x068000";
    for (const XmlElement& child : pci.children) {
      if (child.name != "gpu") continue;
      sketch_.shows_nvlinks = true;
      for (const XmlElement& link : child.children) {
        if (!is_link(link)) continue;
        const int count = number<int>(link, "count", 10, 64);
        if (count < 1) refuse(link, "a link of no lanes", "count=\"1\" or more");
        if (link.attribute("tclass") == to_switch) {
          sketch_.to_nvswitch[gpu] += count;
          continue;
        }
        const auto peer = std::find_if(gpus_.begin(), gpus_.end(), [&](const auto& known) {
          return known.second->attribute("busid") == link.attribute("target");
        });
        if (peer == gpus_.end()) {
          refuse(link, "the link leads to '" + link.attribute("target") + "', which is no GPU", "the busid of a GPU");
        }
        sketch_.nvlinks[std::minmax(gpu, peer->first)] = count;
      }
    }
  }

  const DeviceCatalog& devices_;
  Sketch sketch_;
  std::vector<std::pair<std::size_t, const XmlElement*>> gpus_;
  std::set<const XmlElement*> bare_gpus_, bare_nics_;
  int nics_ = 0;
};

}  // namespace

Sketch read_nccl_xml(const XmlElement& system, const std::string& file, const DeviceCatalog& devices) {
  return Reader(file, devices).read(system);
}

}  // namespace shardsim
