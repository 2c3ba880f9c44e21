#include "sim/topology/readers/sketch.hpp"

#include <algorithm>

namespace shardsim {

namespace {

bool holds_parts(const PciNode& node) {
  return node.part || std::any_of(node.below.begin(), node.below.end(), holds_parts);
}

double slower(double a, double b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

}  // namespace

void hang(Sketch& sketch, const PciNode& node, std::size_t port) {
  if (node.part) {
    sketch.cables.push_back({*node.part, port, node.bytes_per_second});
    return;
  }
  std::vector<const PciNode*> below;
  for (const PciNode& child : node.below) {
    if (holds_parts(child)) below.push_back(&child);
  }
  if (below.size() == 1) {
    PciNode only = *below.front();
    only.bytes_per_second = slower(only.bytes_per_second, node.bytes_per_second);
    hang(sketch, only, port);
  } else if (!below.empty()) {
    const auto is_switch = [](const Part& part) { return part.kind == PartKind::pcie_switch; };
    Part bridge;
    bridge.id = "sw" + std::to_string(std::count_if(sketch.parts.begin(), sketch.parts.end(), is_switch));
    bridge.kind = PartKind::pcie_switch;
    const std::size_t here = sketch.add(bridge);
    sketch.cables.push_back({here, port, node.bytes_per_second});
    for (const PciNode* child : below) hang(sketch, *child, here);
  }
}

}  // namespace shardsim
