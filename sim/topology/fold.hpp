// Equal devices are simulated once: the partition of devices and links into classes that behave alike.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "sim/topology/topology.hpp"

namespace shardsim {

using DeviceClassId = Id<struct DeviceClassTag>;
using LinkClassId = Id<struct LinkClassTag>;
using HostClassId = Id<struct HostClassTag>;

/// Links that carry the same.
struct LinkClass {
  LinkId first;
  std::size_t count = 0;
};

/// A partition of the machine: members of a class do the same and see the same.
struct Fold {
  std::vector<DeviceClassId> class_of_device;
  std::vector<std::vector<DeviceId>> devices;  ///< members of each device class, ascending
  std::vector<LinkClass> links;
  std::vector<HostClassId> class_of_host;
  std::vector<std::vector<HostId>> hosts;
  /// Hosts with equal numbers are equal link by link and device by device: what one's devices load, the other's do.
  std::vector<std::uint32_t> kind_of_host;
  std::vector<std::size_t> hosts_of_kind;               ///< how many
  std::vector<std::vector<LinkClassId>> links_of_kind;  ///< by kind of host, by link of a node
  std::vector<LinkClassId> leaf_links;                  ///< of those between leaf switches and spine

  LinkClassId class_of(LinkId link) const;
  std::vector<LinkId> members(LinkClassId link_class) const;  ///< ascending
};

/// Colour refinement over devices and the links that their routes cross. `role[d]` is any number; equal numbers mean
/// equal work. At the fixed point every link of a class is crossed by equally many devices of each class with equal
/// shares, so that when all members of a device class copy to or from host memory, work in it, or reach for the network
/// at once, each link of a class carries the same load. Links of one class also carry equal loads when every rank sends
/// to its next neighbour along the rings of any one of the communicators that `loads` has, and, if `uses_storage`, when
/// the hosts' drives are read or written.
Fold fold_devices(const Topology& topology, std::span<const std::uint64_t> role, std::span<const RingLoads> loads = {},
                  bool uses_storage = false);
/// Every device, link and host a class of its own: the reference that folding is tested against.
Fold unfolded(const Topology& topology);

/// The units that one link of a class carries.
struct ClassUse {
  LinkClassId link;
  double share = 1;
};

/// When *every* member of `device_class` runs one unit along `route(member)` at once: for each link class, the total
/// over members and links divided by the number of links. Ascending by link class.
std::vector<ClassUse> class_uses(const Fold& fold, DeviceClassId device_class,
                                 const std::function<std::vector<LinkUse>(DeviceId)>& route);
/// When every rank on the hosts of the kinds for which `takes_part` is true sends one unit to its next neighbour.
std::vector<ClassUse> ring_uses(const Fold& fold, const RingLoads& loads, const std::vector<bool>& takes_part);
/// On all hosts.
std::vector<ClassUse> ring_uses(const Fold& fold, const RingLoads& loads);

}  // namespace shardsim
