// hwloc's XML (lstopo --of xml), read by libhwloc: NUMA nodes and their memory, PCI bridges with the speeds of their
// links, GPUs, NICs and drives by PCI class.
#pragma once

#include <string>
#include <string_view>

#include "sim/topology/device.hpp"
#include "sim/topology/readers/sketch.hpp"

namespace shardsim {

/// `text`: well-formed XML from its root <topology> on (hwloc's own parser knows no comments before it). Throws
/// InputError where hwloc refuses it.
Sketch read_hwloc_xml(std::string_view text, const std::string& file, const DeviceCatalog& devices);

}  // namespace shardsim
