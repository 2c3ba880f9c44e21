// Rings through a mesh of direct links.
#pragma once

#include <vector>

namespace shardsim {

/// Closed tours through all `parts` (> 2) that together use no link twice; `links[a * parts + b]`, symmetric, counts
/// the parallel links between two. As many tours as a bounded search finds: the most that the scarcest part's links
/// allow (half of them), on the meshes that are built. Equal input gives equal output.
std::vector<std::vector<std::size_t>> disjoint_cycles(std::size_t parts, std::vector<int> links);

}  // namespace shardsim
