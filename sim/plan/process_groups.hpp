// Who talks to whom: the process groups that a strategy's collectives run over.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/topology/topology.hpp"

namespace shardsim {

/// Disjoint groups of equal size that cover all devices and issue the same collectives at the same time.
struct Communicator {
  enum class Groups : std::uint8_t {
    alone,  ///< every device by itself
    node,   ///< the devices of each node
    place,  ///< the devices in the same place of every node
    world,  ///< all devices
  };
  Groups groups = Groups::alone;
  std::int64_t ranks = 1;  ///< in each group
  std::int64_t nodes = 1;  ///< that each group spans
  std::size_t devices_a_node = 1;
  std::vector<RingLoads> rings;  ///< of `place`: by place; of `alone`: none

  /// The device's place in its group.
  std::int64_t rank_of(DeviceId device) const;
  /// What the machine carries when the rings of all groups run at once.
  RingLoads all_rings() const;
};

/// A mesh of data-parallel ranks. Every rank has one place in each communicator.
struct ProcessGroups {
  Communicator shard;      ///< what is sharded is sharded over it
  Communicator replicate;  ///< each shard is held by all its members; one member: nothing is held twice
};
enum class Group : std::uint8_t { shard, replicate };

/// One shard group over all devices, rank r on device r; or, with `shard_within_nodes`, the devices of each node as
/// shard groups and the devices in the same place of every node as replicate groups (the mesh that accelerate and
/// torchtitan build for hybrid sharding when the shard degree is the node's).
ProcessGroups process_groups(const Topology& topology, bool shard_within_nodes);

}  // namespace shardsim
