// Equal devices are simulated once: the partition of devices and links into classes that behave alike.
#pragma once

#include <span>
#include <vector>

#include "sim/topology/topology.hpp"

namespace shardsim {

using DeviceClassId = Id<struct DeviceClassTag>;
using LinkClassId = Id<struct LinkClassTag>;
using HostClassId = Id<struct HostClassTag>;

/// A partition found by colour refinement over the graph, starting from each device's role (ranks with different work
/// have different roles), and kept only where every member of a link class carries the same load.
struct Fold {
  std::vector<DeviceClassId> class_of_device;
  std::vector<std::vector<DeviceId>> devices;  ///< members of each device class, ascending
  std::vector<LinkClassId> class_of_link;
  std::vector<std::vector<LinkId>> links;      ///< members of each link class, ascending
  std::vector<HostClassId> class_of_host;
  std::vector<std::vector<HostId>> hosts;
};

/// `role[d]` is any number; equal numbers mean equal work.
Fold fold_devices(const Topology& topology, std::span<const std::uint64_t> role);
/// Every device, link and host a class of its own: the reference that folding is tested against.
Fold unfolded(const Topology& topology);

/// The load on link classes when *every* member of `device_class` runs one unit along `route(member)` at once:
/// for each link class, the units that one link of it carries.
struct ClassUse {
  LinkClassId link;
  double share = 1;
};

}  // namespace shardsim
