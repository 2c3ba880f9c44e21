// NCCL's topology XML (NCCL_TOPO_DUMP_FILE, NCCL_TOPO_FILE), also as cloud providers ship it and as RCCL writes it.
#pragma once

#include <string>

#include "sim/topology/device.hpp"
#include "sim/topology/readers/sketch.hpp"
#include "sim/topology/readers/xml.hpp"

namespace shardsim {

/// `system`: the root element. A file of bare bus ids, without classes, gives every NUMA node equally many GPUs; what
/// is left over are NICs. Throws InputError with line and column.
Sketch read_nccl_xml(const XmlElement& system, const std::string& file, const DeviceCatalog& devices);

}  // namespace shardsim
