#include "sim/plan/process_groups.hpp"

#include <numeric>

namespace shardsim {
namespace {

Communicator communicator(const Topology& topology, Communicator::Groups groups) {
  using Groups = Communicator::Groups;
  Communicator result;
  const std::size_t places = topology.devices_a_host(), nodes = topology.hosts.size();
  result.devices_a_node = places;
  const std::size_t ranks = (groups == Groups::node || groups == Groups::world ? places : 1) *
                            (groups == Groups::place || groups == Groups::world ? nodes : 1);
  if (ranks == 1) return result;
  result.groups = groups;
  result.ranks = static_cast<std::int64_t>(ranks);
  if (groups != Groups::node) result.nodes = static_cast<std::int64_t>(nodes);
  std::vector<std::size_t> all(places);
  std::iota(all.begin(), all.end(), std::size_t{0});
  if (groups == Groups::place) {
    for (const std::size_t place : all) result.rings.push_back(topology.ring_loads({&place, 1}, true));
  } else {
    result.rings.push_back(topology.ring_loads(all, groups == Groups::world));
  }
  return result;
}

}  // namespace

std::int64_t Communicator::rank_of(DeviceId device) const {
  switch (groups) {
    case Groups::alone:
      return 0;
    case Groups::node:
      return static_cast<std::int64_t>(device.index() % devices_a_node);
    case Groups::place:
      return static_cast<std::int64_t>(device.index() / devices_a_node);
    case Groups::world:
      return static_cast<std::int64_t>(device.index());
  }
  return 0;
}

RingLoads Communicator::all_rings() const {
  RingLoads all;
  for (const RingLoads& loads : rings) all += loads;
  return all;
}

ProcessGroups process_groups(const Topology& topology, bool shard_within_nodes) {
  using Groups = Communicator::Groups;
  if (!shard_within_nodes) return {communicator(topology, Groups::world), {}};
  return {communicator(topology, Groups::node), communicator(topology, Groups::place)};
}

}  // namespace shardsim
