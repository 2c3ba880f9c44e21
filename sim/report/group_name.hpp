// What a group of equal ranks is called.
#pragma once

#include <string>

#include "sim/plan/plan.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

/// "gpu0", "gpu0-gpu3" where the numbers are consecutive, else "gpu0 and 3 more".
std::string group_name(const Topology& topology, const Program& program);

}  // namespace shardsim
