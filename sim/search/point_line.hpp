// A point of a sweep as one line of JSON: its index, what its axes are set to, and the key figures.
#pragma once

#include <cstdint>
#include <string>

#include "sim/search/design_space.hpp"
#include "sim/search/evaluate.hpp"

namespace shardsim {

/// Appends the line, with its end.
void append_point_line(std::string& lines, std::uint64_t index, const DesignSpace& space, const PointResult& result);

}  // namespace shardsim
