// What PCI class and vendor codes say of a device.
#pragma once

#include <cstdint>

namespace shardsim {

enum class PciKind : std::uint8_t { bridge, gpu, nic, drive, other };

/// `code`: class and subclass, 0x0302. VGA (0x0300) is also what a server's screen controller is: a GPU only from the
/// vendors that make training GPUs.
PciKind pci_kind(unsigned code, unsigned vendor);

/// True for what PCIe 1 and 2 carry (0.25 or 0.5 GB/s times lanes): a GPU that is idle when it is asked lowers its link
/// to that.
bool is_idle_speed(double bytes_per_second);

}  // namespace shardsim
