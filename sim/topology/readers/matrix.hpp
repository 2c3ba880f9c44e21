// The text of `nvidia-smi topo -m`: how each GPU reaches each other GPU and NIC, by the worst thing on the way.
#pragma once

#include <string>
#include <string_view>

#include "sim/topology/readers/sketch.hpp"

namespace shardsim {

/// Devices that meet below a PCIe switch (PIX) share one; those that meet after several (PXB) share a tree of them; all
/// others have root ports of their own. NUMA nodes are those of the affinity columns or, where these do not tell the
/// GPUs apart, what SYS separates. Legends and other lines around the matrix are passed over. A column `pci_path`
/// ("bridge>bridge>device") and a list `NIC placement` (name, Mb/s, NUMA node, path), which tools for AMD GPUs print,
/// are followed where present. Throws InputError with line and column.
Sketch read_matrix(std::string_view text, const std::string& file);

}  // namespace shardsim
