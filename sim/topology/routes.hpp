// The routes of one node. All nodes of a topology are equal and meet only in the network, so the routes of one, with
// links numbered from zero, are those of all; links between leaf switches and spine come after those of all nodes.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "sim/topology/machine.hpp"

namespace shardsim {

/// A part as the links of all nodes name it: GPUs are counted through, other parts belong to a host.
struct LinkEnd {
  std::string part;
  std::optional<std::size_t> gpu;
};

/// The directed links of one node. Ends are indices into Machine::parts; `network` is one past the last.
struct NodeLinks {
  std::vector<Link> links;
  std::vector<std::pair<std::size_t, std::size_t>> ends;
  std::vector<LinkId> memory;  ///< by part: the DRAM of a NUMA node (its ends are that node twice)
  std::vector<std::vector<LinkEnd>> names;
};

struct Topology::Graph {
  struct Gpu {
    std::size_t numa = 0;                     ///< ordinal among the node's NUMA nodes
    std::vector<LinkUse> to_host, from_host;  ///< DRAM included
    LinkId memory;
    std::vector<LinkUse> to_network, from_network;  ///< empty where the node has no NIC
    std::size_t nic = 0;                            ///< which of the node's NICs these take
    std::vector<LinkUse> fabric;                    ///< its NVLinks, outwards then inwards
    std::vector<std::size_t> place;                 ///< parts between its NUMA node and it: the bus order
  };
  std::size_t links = 0;                             ///< of one node
  std::vector<std::vector<LinkEnd>> link_names;      ///< of one node: "gpu0>sw0" has two ends, "dram0" one
  std::vector<Gpu> gpus;                             ///< of one node
  std::vector<std::vector<LinkUse>> peers;           ///< [from * gpus + to]
  std::vector<bool> switched;                        ///< likewise: joined through an NVSwitch
  std::vector<int> nvlinks;                          ///< likewise: NVLinks that join the two directly
  std::vector<LinkUse> storage_read, storage_write;  ///< all drives as one volume
  bool rails = false;               ///< NICs meet only their like: others are reached through the GPU beside theirs
  std::size_t nodes_a_leaf = 0;     ///< 0: no leaf switches
  std::size_t first_leaf_link = 0;  ///< of each leaf the link to the spine and the one back

  std::size_t node_of(DeviceId device) const { return device.index() / gpus.size(); }
  std::size_t local(DeviceId device) const { return device.index() % gpus.size(); }
  /// Appends a route of one node, its links renumbered to those of `node`.
  void append(const std::vector<LinkUse>& route, std::size_t node, std::vector<LinkUse>& out) const;
  /// Appends the route between two devices of any nodes.
  void append_route(DeviceId from, DeviceId to, std::vector<LinkUse>& out) const;
};

/// How the nodes are joined.
struct Network {
  bool rails = false;
  std::size_t nodes_a_leaf = 0;
  std::size_t first_leaf_link = 0;
};

/// `gpu_specs` by GPU in order. Throws InputError where a GPU has no way to host memory or to another GPU.
std::shared_ptr<const Topology::Graph> route_node(const Machine& machine, const NodeLinks& node,
                                                  const std::vector<GpuSpec>& gpu_specs, const Network& network);

}  // namespace shardsim
