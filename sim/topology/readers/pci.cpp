#include "sim/topology/readers/pci.hpp"

#include <cmath>

namespace shardsim {

PciKind pci_kind(unsigned code, unsigned vendor) {
  constexpr unsigned nvidia = 0x10de, amd = 0x1002;
  switch (code) {
    case 0x0604:
      return PciKind::bridge;
    case 0x0300:
      return vendor == nvidia || vendor == amd ? PciKind::gpu : PciKind::other;
    case 0x0302:  // 3D controller
    case 0x0380:  // display controller: AMD Instinct
    case 0x1200:  // processing accelerator: AMD Instinct
      return PciKind::gpu;
    case 0x0108:
      return PciKind::drive;
    default:
      return code >> 8 == 0x02 ? PciKind::nic : PciKind::other;
  }
}

bool is_idle_speed(double bytes_per_second) {
  const double power = std::log2(bytes_per_second / 0.25e9);
  return bytes_per_second > 0 && power > -0.5 && power < 5.5 && std::abs(power - std::round(power)) < 0.005;
}

}  // namespace shardsim
