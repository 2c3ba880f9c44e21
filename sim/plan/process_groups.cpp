#include "sim/plan/process_groups.hpp"

#include <utility>

namespace shardsim {
namespace {

Communicator communicator(const Topology& topology, std::vector<std::vector<DeviceId>> groups) {
  Communicator result;
  for (const std::vector<DeviceId>& group : groups) {
    result.rings.push_back(group.size() > 1 ? topology.rings(group) : std::vector<Ring>{});
  }
  result.groups = std::move(groups);
  return result;
}

}  // namespace

std::vector<Ring> Communicator::all_rings() const {
  std::vector<Ring> all;
  for (const std::vector<Ring>& of_group : rings) all.insert(all.end(), of_group.begin(), of_group.end());
  return all;
}

ProcessGroups process_groups(const Topology& topology, bool shard_within_nodes) {
  std::vector<std::vector<DeviceId>> shard, replicate;
  if (shard_within_nodes) {
    replicate.resize(topology.hosts.front().devices.size());
    for (const Host& host : topology.hosts) {
      shard.push_back(host.devices);
      for (std::size_t place = 0; place < host.devices.size(); ++place) replicate[place].push_back(host.devices[place]);
    }
  } else {
    shard.emplace_back();
    for (std::size_t d = 0; d < topology.devices.size(); ++d) {
      shard.front().emplace_back(d);
      replicate.push_back({DeviceId(d)});
    }
  }
  return {communicator(topology, std::move(shard)), communicator(topology, std::move(replicate))};
}

}  // namespace shardsim
