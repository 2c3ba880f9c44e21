// A machine as a DOT file that Graphviz draws and read_dot() reads back to the same machine.
#pragma once

#include <string>
#include <vector>

#include "sim/topology/machine.hpp"

namespace shardsim {

/// `remarks`: comments at the head of the file, one line each.
std::string write_dot(const Machine& machine, const std::vector<std::string>& remarks);

}  // namespace shardsim
