#include "sim/topology/routes.hpp"

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/dijkstra_shortest_paths.hpp>
#include <boost/graph/filtered_graph.hpp>
#include <boost/property_map/function_property_map.hpp>
#include <limits>

#include "model/core/check.hpp"
#include "model/core/error.hpp"

namespace shardsim {

namespace {

using Wires = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, boost::no_property,
                                    boost::property<boost::edge_index_t, std::size_t>>;
using WireEdge = boost::graph_traits<Wires>::edge_descriptor;

constexpr double unreachable = std::numeric_limits<double>::max();

/// Data may start anywhere but passes only through parts that forward it.
struct Forwards {
  const Wires* wires = nullptr;
  const std::vector<bool>* forwards = nullptr;
  std::size_t origin = 0;
  bool operator()(const WireEdge& edge) const {
    const std::size_t from = boost::source(edge, *wires);
    return from == origin || (*forwards)[from];
  }
};

/// Shortest ways from one part: for each part the distance and the last link.
struct Tree {
  std::vector<double> distance;
  std::vector<std::size_t> last;
};

void add_use(std::vector<LinkUse>& uses, LinkId link, double share = 1) {
  const auto same = std::find_if(uses.begin(), uses.end(), [&](const LinkUse& use) { return use.link == link; });
  if (same == uses.end()) {
    uses.push_back({link, share});
  } else {
    same->share += share;
  }
}

void add_uses(std::vector<LinkUse>& uses, const std::vector<LinkUse>& more, double factor = 1) {
  for (const LinkUse& use : more) add_use(uses, use.link, use.share * factor);
}

class Router {
 public:
  Router(const Machine& machine, const NodeLinks& node)
      : machine_(machine), node_(node), wires_(machine.parts.size() + 1) {
    for (std::size_t i = 0; i < node.ends.size(); ++i) {
      const auto [from, to] = node.ends[i];
      if (from != to) boost::add_edge(from, to, i, wires_);
    }
    through_host_.assign(machine.parts.size() + 1, false);
    through_fabric_ = through_host_;
    for (std::size_t i = 0; i < machine.parts.size(); ++i) {
      const PartKind kind = machine.parts[i].kind;
      through_host_[i] = kind == PartKind::pcie_switch || kind == PartKind::numa;
      through_fabric_[i] = kind == PartKind::nvswitch;
    }
  }

  /// Over PCIe and sockets.
  Tree host_tree(std::size_t origin) const { return tree(origin, through_host_); }
  /// Over NVLink: directly or through an NVSwitch.
  Tree fabric_tree(std::size_t origin) const { return tree(origin, through_fabric_); }

  std::vector<LinkUse> path(const Tree& from, std::size_t target) const {
    std::vector<LinkUse> path;
    for (std::size_t at = target; from.last[at] != none; at = node_.ends[from.last[at]].first) {
      path.push_back({LinkId(from.last[at]), 1});
    }
    std::reverse(path.begin(), path.end());
    return path;
  }

  bool passes(const Tree& from, std::size_t target, PartKind kind) const {
    for (std::size_t at = target; from.last[at] != none; at = node_.ends[from.last[at]].first) {
      const std::size_t before = node_.ends[from.last[at]].first;
      if (machine_.parts[before].kind == kind) return true;
    }
    return false;
  }

 private:
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

  /// A link counts by the time that it takes to move 1 MiB.
  double weight(std::size_t link) const {
    constexpr double message_bytes = 1048576;
    const Link& wire = node_.links[link];
    return wire.latency.seconds() + message_bytes / wire.effective().bytes_per_second;
  }

  Tree tree(std::size_t origin, const std::vector<bool>& forwards) const {
    const boost::filtered_graph<Wires, Forwards> usable(wires_, Forwards{&wires_, &forwards, origin});
    const std::size_t parts = boost::num_vertices(wires_);
    Tree result{std::vector<double>(parts, unreachable), std::vector<std::size_t>(parts, none)};
    std::vector<WireEdge> edges(parts);
    const auto index = boost::get(boost::edge_index, wires_);
    const auto weights = boost::make_function_property_map<WireEdge>(
        [&](const WireEdge& edge) { return weight(boost::get(index, edge)); });
    const auto vertex = boost::get(boost::vertex_index, wires_);
    const auto record = boost::record_edge_predecessors(boost::make_iterator_property_map(edges.begin(), vertex),
                                                        boost::on_edge_relaxed());
    boost::dijkstra_shortest_paths(usable, origin,
                                   boost::weight_map(weights)
                                       .vertex_index_map(vertex)
                                       .distance_map(boost::make_iterator_property_map(result.distance.begin(), vertex))
                                       .distance_inf(unreachable)
                                       .visitor(boost::make_dijkstra_visitor(record)));
    for (std::size_t i = 0; i < parts; ++i) {
      if (i != origin && result.distance[i] < unreachable) result.last[i] = boost::get(index, edges[i]);
    }
    return result;
  }

  const Machine& machine_;
  const NodeLinks& node_;
  Wires wires_;
  std::vector<bool> through_host_, through_fabric_;
};

/// Everything about one node, gathered while the routes are laid.
struct NodeRouter {
  const Machine& machine;
  const NodeLinks& node;
  const std::vector<GpuSpec>& specs;
  Router router;
  std::vector<std::size_t> gpus, numas, nics, drives;
  std::vector<Tree> gpu_trees, numa_trees;
  Topology::Graph graph;

  NodeRouter(const Machine& a_machine, const NodeLinks& a_node, const std::vector<GpuSpec>& gpu_specs)
      : machine(a_machine), node(a_node), specs(gpu_specs), router(a_machine, a_node) {
    gpus = machine.of_kind(PartKind::gpu);
    numas = machine.of_kind(PartKind::numa);
    nics = machine.of_kind(PartKind::nic);
    drives = machine.of_kind(PartKind::drive);
    for (std::size_t gpu : gpus) gpu_trees.push_back(router.host_tree(gpu));
    for (std::size_t numa : numas) numa_trees.push_back(router.host_tree(numa));
    graph.links = node.links.size();
    graph.link_names = node.names;
    graph.gpus.resize(gpus.size());
  }

  std::size_t nearest_numa(const Tree& from) const {
    const auto nearer = [&](std::size_t a, std::size_t b) { return from.distance[a] < from.distance[b]; };
    return static_cast<std::size_t>(std::min_element(numas.begin(), numas.end(), nearer) - numas.begin());
  }

  void host_routes(std::size_t g) {
    Topology::Graph::Gpu& gpu = graph.gpus[g];
    gpu.numa = nearest_numa(gpu_trees[g]);
    const std::size_t numa = numas[gpu.numa];
    const Part& part = machine.parts[gpus[g]];
    if (gpu_trees[g].distance[numa] == unreachable) {
      throw InputError("'" + part.id + "' has no path to host memory", part.where,
                       "an edge to a PCIe switch or NUMA node");
    }
    gpu.memory = node.memory[numa];
    gpu.to_host = router.path(gpu_trees[g], numa);
    gpu.to_host.push_back({gpu.memory, 1});
    gpu.from_host = {{gpu.memory, 1}};
    const std::vector<LinkUse> down = router.path(numa_trees[gpu.numa], gpus[g]);
    for (const LinkUse& use : down) gpu.place.push_back(node.ends[use.link.index()].second);
    gpu.place.insert(gpu.place.begin(), numa);
    add_uses(gpu.from_host, down);
    for (std::size_t i = 0; i < node.links.size(); ++i) {
      if (node.links[i].kind == LinkKind::nvlink && node.ends[i].first == gpus[g]) gpu.fabric.push_back({LinkId(i), 1});
    }
    for (std::size_t i = 0; i < node.links.size(); ++i) {
      if (node.links[i].kind == LinkKind::nvlink && node.ends[i].second == gpus[g])
        gpu.fabric.push_back({LinkId(i), 2});
    }
  }

  /// Through host memory: written once and read once.
  std::vector<LinkUse> staged(std::size_t from, std::size_t target) const {
    const Topology::Graph::Gpu& gpu = graph.gpus[from];
    std::vector<LinkUse> uses = gpu.to_host;
    add_use(uses, gpu.memory);
    add_uses(uses, router.path(numa_trees[gpu.numa], target));
    return uses;
  }

  void peer_routes(std::size_t a) {
    const Tree fabric = router.fabric_tree(gpus[a]);
    for (std::size_t b = 0; b < gpus.size(); ++b) {
      std::vector<LinkUse>& route = graph.peers[a * gpus.size() + b];
      if (a == b) continue;
      if (fabric.distance[gpus[b]] < unreachable) {
        route = router.path(fabric, gpus[b]);
        graph.switched[a * gpus.size() + b] = router.passes(fabric, gpus[b], PartKind::nvswitch);
      } else if (specs[a].peer_to_peer_over_pcie && specs[b].peer_to_peer_over_pcie) {
        route = router.path(gpu_trees[a], gpus[b]);
      } else {
        route = staged(a, gpus[b]);
      }
      SHARDSIM_CHECK(!route.empty(), "check_machine leaves no GPU unreachable");
    }
  }

  /// The nearest NIC; of several equally near, the one that fewest GPUs have.
  void network_routes() {
    std::vector<std::size_t> taken(nics.size(), 0);
    for (std::size_t g = 0; g < gpus.size() && !nics.empty(); ++g) {
      const auto better = [&](std::size_t a, std::size_t b) {
        return std::pair(gpu_trees[g].distance[nics[a]], taken[a]) <
               std::pair(gpu_trees[g].distance[nics[b]], taken[b]);
      };
      std::size_t nic = 0;
      for (std::size_t i = 1; i < nics.size(); ++i) {
        if (better(i, nic)) nic = i;
      }
      ++taken[nic];
      graph.gpus[g].nic = nic;
      network_route(g, nics[nic]);
    }
  }

  /// NCCL reads GPU memory from the NIC (GPUDirect RDMA) where both stand below one PCIe switch (its default level,
  /// NCCL_NET_GDR_LEVEL=PXB), and stages through host memory elsewhere.
  void network_route(std::size_t g, std::size_t nic) {
    Topology::Graph::Gpu& gpu = graph.gpus[g];
    const std::size_t network = machine.parts.size();
    const Tree nic_tree = router.host_tree(nic);
    const bool direct = specs[g].peer_to_peer_over_pcie && !router.passes(gpu_trees[g], nic, PartKind::numa);
    if (direct) {
      gpu.to_network = router.path(gpu_trees[g], nic);
      gpu.from_network = router.path(nic_tree, gpus[g]);
    } else {
      gpu.to_network = staged(g, nic);
      gpu.from_network = router.path(nic_tree, numas[gpu.numa]);
      add_use(gpu.from_network, gpu.memory);
      add_uses(gpu.from_network, gpu.from_host);
    }
    for (std::size_t i = 0; i < node.ends.size(); ++i) {
      if (node.ends[i] == std::pair(nic, network)) gpu.to_network.push_back({LinkId(i), 1});
      if (node.ends[i] == std::pair(network, nic)) gpu.from_network.insert(gpu.from_network.begin(), {LinkId(i), 1});
    }
  }

  void storage_routes() {
    int total = 0;
    for (std::size_t drive : drives) total += machine.parts[drive].count;
    for (std::size_t drive : drives) {
      const double stripe = static_cast<double>(machine.parts[drive].count) / total;
      const Tree from_drive = router.host_tree(drive);
      const std::size_t numa = nearest_numa(from_drive);
      add_uses(graph.storage_read, router.path(from_drive, numas[numa]), stripe);
      add_use(graph.storage_read, node.memory[numas[numa]], stripe);
      add_use(graph.storage_write, node.memory[numas[numa]], stripe);
      add_uses(graph.storage_write, router.path(numa_trees[numa], drive), stripe);
    }
  }
};

}  // namespace

std::shared_ptr<const Topology::Graph> route_node(const Machine& machine, const NodeLinks& node,
                                                  const std::vector<GpuSpec>& gpu_specs, const Network& network) {
  NodeRouter layer(machine, node, gpu_specs);
  const std::size_t gpus = layer.gpus.size();
  layer.graph.peers.resize(gpus * gpus);
  layer.graph.switched.resize(gpus * gpus);
  layer.graph.nvlinks.assign(gpus * gpus, 0);
  for (std::size_t g = 0; g < gpus; ++g) layer.host_routes(g);
  for (std::size_t g = 0; g < gpus; ++g) layer.peer_routes(g);
  layer.network_routes();
  layer.storage_routes();
  for (const Wire& wire : machine.wires) {
    const auto a = std::find(layer.gpus.begin(), layer.gpus.end(), wire.a) - layer.gpus.begin();
    const auto b = std::find(layer.gpus.begin(), layer.gpus.end(), wire.b) - layer.gpus.begin();
    const auto count = static_cast<std::ptrdiff_t>(gpus);
    if (wire.type.kind != LinkKind::nvlink || a == count || b == count) continue;
    layer.graph.nvlinks[static_cast<std::size_t>(a * count + b)] += wire.type.lanes;
    layer.graph.nvlinks[static_cast<std::size_t>(b * count + a)] += wire.type.lanes;
  }
  layer.graph.rails = network.rails;
  layer.graph.nodes_a_leaf = network.nodes_a_leaf;
  layer.graph.first_leaf_link = network.first_leaf_link;
  return std::make_shared<const Topology::Graph>(std::move(layer.graph));
}

void Topology::Graph::append(const std::vector<LinkUse>& route, std::size_t node, std::vector<LinkUse>& out) const {
  const std::size_t first = node * links;
  for (const LinkUse& use : route) out.push_back({LinkId(first + use.link.index()), use.share});
}

void Topology::Graph::append_route(DeviceId from, DeviceId to, std::vector<LinkUse>& out) const {
  const std::size_t a = node_of(from), b = node_of(to);
  if (a == b) {
    append(peers[local(from) * gpus.size() + local(to)], a, out);
    return;
  }
  const bool relayed = rails && gpus[local(from)].nic != gpus[local(to)].nic;
  if (relayed) append(peers[local(from) * gpus.size() + local(to)], a, out);
  append(gpus[relayed ? local(to) : local(from)].to_network, a, out);
  if (nodes_a_leaf > 0 && a / nodes_a_leaf != b / nodes_a_leaf) {
    out.push_back({LinkId(first_leaf_link + 2 * (a / nodes_a_leaf)), 1});
    out.push_back({LinkId(first_leaf_link + 2 * (b / nodes_a_leaf) + 1), 1});
  }
  append(gpus[local(to)].from_network, b, out);
}

std::string Topology::name_of(LinkId link) const {
  const std::size_t of_nodes = hosts.size() * graph->links;
  if (link.index() >= of_nodes) {
    const std::size_t index = link.index() - of_nodes;
    const std::string leaf = "leaf" + std::to_string(index / 2);
    return index % 2 == 0 ? leaf + ">spine" : "spine>" + leaf;
  }
  const std::size_t node = link.index() / graph->links;
  std::string text;
  for (const LinkEnd& end : graph->link_names[link.index() % graph->links]) {
    if (!text.empty()) text += '>';
    if (end.gpu) {
      text += name_of(DeviceId(node * devices_a_host() + *end.gpu));
    } else {
      if (hosts.size() > 1 && end.part != "network") text += name_of(HostId(node)) + ":";
      text += end.part;
    }
  }
  return text;
}

std::vector<LinkUse> Topology::host_to_device(DeviceId device) const {
  std::vector<LinkUse> uses;
  graph->append(graph->gpus[graph->local(device)].from_host, graph->node_of(device), uses);
  return uses;
}

std::vector<LinkUse> Topology::device_to_host(DeviceId device) const {
  std::vector<LinkUse> uses;
  graph->append(graph->gpus[graph->local(device)].to_host, graph->node_of(device), uses);
  return uses;
}

std::vector<LinkUse> Topology::host_memory(DeviceId device) const {
  std::vector<LinkUse> uses;
  graph->append({{graph->gpus[graph->local(device)].memory, 1}}, graph->node_of(device), uses);
  return uses;
}

std::vector<LinkUse> Topology::device_to_device(DeviceId from, DeviceId to) const {
  std::vector<LinkUse> uses;
  graph->append_route(from, to, uses);
  return uses;
}

std::vector<LinkUse> Topology::storage_to_host(StorageId storage) const {
  std::vector<LinkUse> uses;
  graph->append(graph->storage_read, storages[storage.index()].host.index(), uses);
  return uses;
}

std::vector<LinkUse> Topology::host_to_storage(StorageId storage) const {
  std::vector<LinkUse> uses;
  graph->append(graph->storage_write, storages[storage.index()].host.index(), uses);
  return uses;
}

}  // namespace shardsim
