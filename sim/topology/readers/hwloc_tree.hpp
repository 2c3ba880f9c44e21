// hwloc's tree of objects as indented text, one object a line: packages, NUMA nodes with their memory, PCI bridges with
// the speeds of their links, devices and what the operating system calls them.
#pragma once

#include <string>
#include <vector>

#include "sim/topology/device.hpp"
#include "sim/topology/readers/sketch.hpp"
#include "sim/topology/readers/text_lines.hpp"

namespace shardsim {

/// True where the first line that is no comment begins with "Machine" or "Package".
bool is_hwloc_tree(const TextLine& first);
/// "Package 0", and below it "NUMANode 0 mem_bytes=...", "Bridge 0000:2b:00.0 link_GB/s=15.753", "PCIDev ...",
/// "OSDev nvml0 Tesla V100-SXM3-32GB-H". Devices that are neither GPU nor NIC nor drive are left out. Throws InputError
/// with line and column.
Sketch read_hwloc_tree(const std::vector<TextLine>& lines, const std::string& file, const DeviceCatalog& devices);

}  // namespace shardsim
