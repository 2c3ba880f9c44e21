// Who talks to whom: the process groups that a strategy's collectives run over.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/topology/topology.hpp"

namespace shardsim {

/// Disjoint groups of equal size that cover all devices and issue the same collectives at the same time, such as "the
/// GPUs of each node". The members of a group stand in rank order.
struct Communicator {
  std::vector<std::vector<DeviceId>> groups;
  std::vector<std::vector<Ring>> rings;  ///< by group; empty where a group has one member

  std::int64_t size() const { return static_cast<std::int64_t>(groups.front().size()); }
  /// The rings of all groups: what the machine carries when all of them run at once.
  std::vector<Ring> all_rings() const;
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
