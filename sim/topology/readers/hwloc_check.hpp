// libhwloc trusts the XML that it is given; this looks first.
#pragma once

#include <string>

#include "sim/topology/readers/xml.hpp"

namespace shardsim {

/// Throws InputError with line and column unless the tree is one that hwloc 2 writes: known objects with known
/// attributes, numbers where numbers stand, each object's CPU and node sets within its parent's.
void check_hwloc_xml(const XmlElement& topology, const std::string& file);

}  // namespace shardsim
