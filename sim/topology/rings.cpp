// The rings of a process group, as NCCL lays them.
#include <algorithm>
#include <map>

#include "model/core/check.hpp"
#include "sim/topology/cycles.hpp"
#include "sim/topology/routes.hpp"

namespace shardsim {

namespace {

using Order = std::vector<std::size_t>;  ///< GPUs of one node, by their numbers within it

/// Siblings side by side: along the tree of sockets and switches.
void sort_by_bus(const Topology::Graph& graph, Order& gpus) {
  std::sort(gpus.begin(), gpus.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(graph.gpus[a].place, a) < std::pair(graph.gpus[b].place, b);
  });
}

/// Bridged neighbours side by side, each followed by what is nearest to it: a ring crosses each bridge, and sockets as
/// seldom as it can.
Order along_bridges(const Topology::Graph& graph, const Order& bus_order) {
  const std::size_t gpus = graph.gpus.size();
  const auto links = [&](std::size_t a, std::size_t b) { return graph.nvlinks[a * gpus + b]; };
  const auto shared = [&](std::size_t a, std::size_t b) {
    const std::vector<std::size_t>&x = graph.gpus[a].place, &y = graph.gpus[b].place;
    return std::mismatch(x.begin(), x.end(), y.begin(), y.end()).first - x.begin();
  };
  Order left = bus_order, order;
  while (!left.empty()) {
    auto next = left.begin();
    if (!order.empty()) {
      const std::size_t last = order.back();
      next = std::max_element(left.begin(), left.end(), [&](std::size_t a, std::size_t b) {
        return std::pair(links(last, a), shared(last, a)) < std::pair(links(last, b), shared(last, b));
      });
    }
    order.push_back(*next);
    left.erase(next);
  }
  return order;
}

bool all_switched(const Topology::Graph& graph, const Order& gpus) {
  for (std::size_t a : gpus) {
    for (std::size_t b : gpus) {
      if (a != b && !graph.switched[a * graph.gpus.size() + b]) return false;
    }
  }
  return gpus.size() > 1;
}

/// An order for each ring of one node's members, with its part of the data.
struct Pattern {
  Order order;
  double weight = 1;
};

std::vector<Pattern> node_patterns(const Topology::Graph& graph, const Order& bus_order) {
  const std::size_t parts = bus_order.size();
  if (parts <= 2 || all_switched(graph, bus_order)) return {{bus_order, 1}};
  std::vector<int> links;
  for (std::size_t a : bus_order) {
    for (std::size_t b : bus_order) links.push_back(graph.nvlinks[a * graph.gpus.size() + b]);
  }
  const std::vector<Order> cycles = disjoint_cycles(parts, links);
  if (cycles.empty()) {
    const bool bridged = std::any_of(links.begin(), links.end(), [](int count) { return count > 0; });
    return {{bridged ? along_bridges(graph, bus_order) : bus_order, 1}};
  }
  std::map<Order, double> weights;  // tours over parallel links coincide
  for (const Order& cycle : cycles) weights[cycle] += 0.5 / static_cast<double>(cycles.size());
  std::vector<Pattern> patterns;
  for (const auto& [cycle, weight] : weights) {
    Order order;
    for (std::size_t i : cycle) order.push_back(bus_order[i]);
    patterns.push_back({order, weight});
    std::reverse(order.begin() + 1, order.end());  // each direction of a duplex link is a channel of its own
    patterns.push_back({order, weight});
  }
  return patterns;
}

/// The members that one node has, and the rings among them.
struct NodeMembers {
  std::size_t node = 0;
  const Order* bus_order = nullptr;
  const std::vector<Pattern>* patterns = nullptr;
};

class Layout {
 public:
  Layout(const Topology::Graph& graph, std::span<const DeviceId> group) : graph_(graph) {
    std::map<std::size_t, Order> members;
    for (DeviceId device : group) members[graph.node_of(device)].push_back(graph.local(device));
    for (auto& [node, gpus] : members) {
      std::sort(gpus.begin(), gpus.end());
      SHARDSIM_CHECK(std::adjacent_find(gpus.begin(), gpus.end()) == gpus.end(), "a group holds each device once");
      auto found = known_.find(gpus);
      if (found == known_.end()) {
        Order bus_order = gpus;
        sort_by_bus(graph, bus_order);
        found = known_.emplace(gpus, std::pair(bus_order, node_patterns(graph, bus_order))).first;
      }
      nodes_.push_back({node, &found->second.first, &found->second.second});
    }
  }

  std::vector<Ring> rings() const {
    if (nodes_.size() > 1) return across_nodes();
    std::vector<Ring> rings;
    for (const Pattern& pattern : *nodes_.front().patterns) {
      Ring ring;
      ring.weight = pattern.weight;
      for (std::size_t gpu : pattern.order) ring.order.push_back(device(nodes_.front(), gpu));
      rings.push_back(std::move(ring));
    }
    return rings;
  }

 private:
  DeviceId device(const NodeMembers& members, std::size_t gpu) const {
    return DeviceId(members.node * graph_.gpus.size() + gpu);
  }

  /// Node after node; ring r enters every node at its r-th GPU, so that each GPU's NIC carries an equal part.
  std::vector<Ring> across_nodes() const {
    std::size_t channels = nodes_.front().bus_order->size();
    for (const NodeMembers& members : nodes_) {
      if (members.bus_order->size() != channels) channels = 1;
    }
    std::vector<Ring> rings(channels);
    for (std::size_t r = 0; r < channels; ++r) {
      rings[r].weight = 1.0 / static_cast<double>(channels);
      for (const NodeMembers& members : nodes_) {
        Order order = (*members.patterns)[r % members.patterns->size()].order;
        std::rotate(order.begin(), std::find(order.begin(), order.end(), (*members.bus_order)[r]), order.end());
        for (std::size_t gpu : order) rings[r].order.push_back(device(members, gpu));
      }
    }
    return rings;
  }

  const Topology::Graph& graph_;
  std::map<Order, std::pair<Order, std::vector<Pattern>>> known_;  ///< by members within a node
  std::vector<NodeMembers> nodes_;
};

}  // namespace

std::vector<Ring> Topology::rings(std::span<const DeviceId> group) const {
  SHARDSIM_CHECK(!group.empty(), "a process group has members");
  return Layout(*graph, group).rings();
}

RingLoads& RingLoads::operator+=(const RingLoads& other) {
  node.resize(std::max(node.size(), other.node.size()));
  for (std::size_t i = 0; i < other.node.size(); ++i) node[i] += other.node[i];
  leaf += other.leaf;
  return *this;
}

// Each node's rings enter it and leave it alike, so two nodes that ring show what any number of them does.
RingLoads Topology::ring_loads(std::span<const std::size_t> places, bool across_nodes) const {
  const std::size_t nodes = across_nodes ? std::min<std::size_t>(hosts.size(), 2) : 1;
  const std::size_t leaves =
      graph->nodes_a_leaf == 0 ? 1 : (hosts.size() + graph->nodes_a_leaf - 1) / graph->nodes_a_leaf;
  std::vector<DeviceId> group;
  for (std::size_t node = 0; node < nodes; ++node) {
    for (const std::size_t place : places) group.emplace_back(node * graph->gpus.size() + place);
  }
  RingLoads loads{std::vector<double>(graph->links, 0), 0};
  if (group.size() < 2) return loads;
  std::vector<LinkUse> route;
  for (const Ring& ring : rings(group)) {
    for (std::size_t i = 0; i < ring.order.size(); ++i) {
      route.clear();
      graph->append_route(ring.order[i], ring.order[(i + 1) % ring.order.size()], route);
      for (const LinkUse& use : route) {
        if (use.link.index() < graph->links) loads.node[use.link.index()] += use.share * ring.weight;
      }
    }
    if (across_nodes && leaves > 1) loads.leaf += ring.weight;
  }
  return loads;
}

bool Topology::is_switched(std::span<const DeviceId> group) const {
  Order gpus;
  for (DeviceId device : group) {
    if (graph->node_of(device) != graph->node_of(group.front())) return false;
    gpus.push_back(graph->local(device));
  }
  return all_switched(*graph, gpus);
}

}  // namespace shardsim
