#include "sim/plan/cluster.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>

#include "model/core/check.hpp"
#include "sim/cost/host_time.hpp"

namespace shardsim {

Cluster::Cluster(const Topology& topology, const Fold& fold, const ProcessGroups& groups, Plan& plan)
    : topology_(topology), fold_(fold), plan_(plan) {
  for (const std::vector<LinkId>& members : fold.links) {
    const Link& link = topology.links[members.front().index()];
    plan.links.push_back({link.id, static_cast<std::uint32_t>(members.size()), static_cast<std::uint8_t>(link.kind),
                          link.bandwidth.bytes_per_second, link.effective().bytes_per_second});
  }
  for (const std::vector<HostId>& members : fold.hosts) {
    const Host& host = topology.hosts[members.front().index()];
    std::int64_t storage = 0;
    for (const Storage& volume : topology.storages) {
      if (volume.host == members.front()) storage += volume.capacity.value();
    }
    plan.host_classes.push_back({host.id, static_cast<std::uint32_t>(members.size()), host.memory.value(), storage});
  }
  for (std::size_t c = 0; c < fold.devices.size(); ++c) {
    const DeviceClassId id(c);
    const auto of_class = [&](const auto& route) {
      return add_route(class_uses(fold, id, route), route(fold.devices[c].front()));
    };
    to_device_.push_back(of_class([&](DeviceId d) { return topology.host_to_device(d); }));
    to_host_.push_back(of_class([&](DeviceId d) { return topology.device_to_host(d); }));
    host_memory_.push_back(of_class([&](DeviceId d) { return topology.host_memory(d); }));
    if (!topology.storages.empty()) add_storage_routes(id);
  }
  ranks_.resize(fold.devices.size());
  for (const std::vector<DeviceId>& group : groups.shard.groups) {
    for (std::size_t rank = 0; rank < group.size(); ++rank) {
      const std::size_t c = fold.class_of_device[group[rank].index()].index();
      if (fold.devices[c].front() == group[rank]) ranks_[c] = static_cast<std::int64_t>(rank);
    }
  }
  meetings_ = {meetings_of(groups.shard), meetings_of(groups.replicate)};
}

Cluster::Meetings Cluster::meetings_of(const Communicator& communicator) {
  Meetings meetings;
  meetings.ranks = communicator.size();
  if (meetings.ranks == 1) return meetings;
  // Classes that share a group, directly or through others, take the number of the first of them.
  std::vector<std::size_t>& of_class = meetings.of_class;
  of_class.resize(fold_.devices.size());
  std::iota(of_class.begin(), of_class.end(), std::size_t{0});
  for (const std::vector<DeviceId>& group : communicator.groups) {
    for (const DeviceId member : group) {
      const std::size_t a = of_class[fold_.class_of_device[group.front().index()].index()];
      const std::size_t b = of_class[fold_.class_of_device[member.index()].index()];
      std::replace(of_class.begin(), of_class.end(), std::max(a, b), std::min(a, b));
    }
  }
  meetings.all.resize(fold_.devices.size());
  for (const std::size_t meeting : of_class) ++meetings.all[meeting].programs;
  std::vector<std::vector<Ring>> rings(meetings.all.size());
  for (std::size_t g = 0; g < communicator.groups.size(); ++g) {
    const DeviceId first = communicator.groups[g].front();
    std::vector<Ring>& together = rings[of_class[fold_.class_of_device[first.index()].index()]];
    together.insert(together.end(), communicator.rings[g].begin(), communicator.rings[g].end());
  }
  for (std::size_t m = 0; m < meetings.all.size(); ++m) {
    if (meetings.all[m].programs == 0) continue;
    meetings.all[m].uses = write_uses(ring_uses(fold_, topology_, rings[m]));
    meetings.all[m].shape = shape_of(communicator, meetings.all[m].uses);
  }
  return meetings;
}

// Groups of one communicator run at the same time, so what a ring reaches is its part of each link beside theirs.
CollectiveShape Cluster::shape_of(const Communicator& communicator, const UseRange& uses) {
  std::vector<double> load(plan_.links.size(), 0);
  for (const ClassUse& use : ring_uses(fold_, topology_, communicator.all_rings())) load[use.link.index()] = use.share;
  CollectiveShape shape;
  shape.ranks = communicator.size();
  std::set<HostId> nodes;
  for (const DeviceId member : communicator.groups.front()) nodes.insert(topology_.devices[member.index()].host);
  shape.nodes = static_cast<std::int64_t>(nodes.size());
  shape.bandwidth = std::numeric_limits<double>::infinity();
  // A ring is as quick as its slowest hop: any that is no NVLink makes it a PCIe ring.
  shape.intra = HopKind::nvlink;
  for (std::uint32_t u = uses.begin; u < uses.end; ++u) {
    const PlanLink& link = plan_.links[plan_.uses[u].link];
    shape.bandwidth = std::min(shape.bandwidth, link.capacity / load[plan_.uses[u].link]);
    const auto kind = static_cast<LinkKind>(link.kind);
    if (shape.nodes == 1 && kind != LinkKind::nvlink) shape.intra = HopKind::pcie;
    if (shape.nodes > 1 && kind == LinkKind::memory) shape.intra = HopKind::pcie;
  }
  return shape;
}

Cluster::UseRange Cluster::write_uses(std::span<const ClassUse> uses) {
  UseRange range;
  range.begin = static_cast<std::uint32_t>(plan_.uses.size());
  for (const ClassUse& use : uses) plan_.uses.push_back({static_cast<std::uint32_t>(use.link.index()), use.share});
  range.end = static_cast<std::uint32_t>(plan_.uses.size());
  return range;
}

Cluster::Path Cluster::add_route(std::span<const ClassUse> uses, std::span<const LinkUse> alone) {
  Path path{write_uses(uses), std::numeric_limits<double>::infinity(), {}};
  for (const LinkUse& use : alone) {
    const Link& link = topology_.links[use.link.index()];
    path.bandwidth = std::min(path.bandwidth, link.effective().bytes_per_second / use.share);
    path.latency += link.latency;
  }
  return path;
}

void Cluster::add_storage_routes(DeviceClassId device_class) {
  const auto volume_of = [&](DeviceId device) {
    for (std::size_t s = 0; s < topology_.storages.size(); ++s) {
      if (topology_.storages[s].host == topology_.devices[device.index()].host) return StorageId(s);
    }
    SHARDSIM_CHECK(false, "where one host has drives, all have");
    return StorageId();
  };
  const DeviceId first = fold_.devices[device_class.index()].front();
  const auto read = [&](DeviceId d) { return topology_.storage_to_host(volume_of(d)); };
  const auto write = [&](DeviceId d) { return topology_.host_to_storage(volume_of(d)); };
  storage_read_.push_back(add_route(class_uses(fold_, device_class, read), read(first)));
  storage_write_.push_back(add_route(class_uses(fold_, device_class, write), write(first)));
}

std::uint32_t Cluster::host_class_of(DeviceClassId device_class) const {
  const DeviceId device = fold_.devices[device_class.index()].front();
  return static_cast<std::uint32_t>(fold_.class_of_host[topology_.devices[device.index()].host.index()].index());
}

std::int64_t Cluster::ranks_on_host(DeviceClassId device_class) const {
  const DeviceId device = fold_.devices[device_class.index()].front();
  return static_cast<std::int64_t>(topology_.hosts[topology_.devices[device.index()].host.index()].devices.size());
}

std::int64_t Cluster::ranks_on_socket(DeviceClassId device_class) const {
  const Device& device = topology_.devices[fold_.devices[device_class.index()].front().index()];
  const std::vector<DeviceId>& neighbours = topology_.hosts[device.host.index()].devices;
  return std::count_if(neighbours.begin(), neighbours.end(),
                       [&](DeviceId other) { return topology_.devices[other.index()].socket == device.socket; });
}

TransferId Cluster::add(double bytes, Time latency, double limit, const UseRange& uses, std::size_t participants) {
  Transfer transfer;
  transfer.bytes = bytes;
  transfer.latency = latency;
  transfer.limit = limit;
  transfer.uses_begin = uses.begin;
  transfer.uses_end = uses.end;
  transfer.participants = static_cast<std::uint16_t>(participants);
  plan_.transfers.push_back(transfer);
  return TransferId(plan_.transfers.size() - 1);
}

TransferId Cluster::collective(Group group, DeviceClassId device_class, std::size_t sequence, CollectiveKind kind,
                               double total_bytes) {
  SHARDSIM_CHECK(size(group) > 1, "a collective takes several ranks");
  Meetings& meetings = meetings_[static_cast<std::size_t>(group)];
  Meeting& meeting = meetings.all[meetings.of_class[device_class.index()]];
  if (sequence == meeting.issued.size()) {
    const CollectiveCost cost = collective_cost(kind, total_bytes, meeting.shape);
    meeting.issued.push_back({add(cost.bytes, cost.latency, 0, meeting.uses, meeting.programs), kind, total_bytes});
  }
  SHARDSIM_CHECK(sequence < meeting.issued.size(), "programs issue their collectives one after the other");
  const Issued& issued = meeting.issued[sequence];
  SHARDSIM_CHECK(issued.kind == kind && issued.bytes == total_bytes,
                 "all ranks issue the same collectives in the same order");
  return issued.transfer;
}

TransferId Cluster::copy(DeviceClassId device_class, Direction direction, double bytes, bool pinned) {
  const Path& path = (direction == Direction::to_device ? to_device_ : to_host_)[device_class.index()];
  return add(bytes, path.latency, pinned ? 0 : path.bandwidth * pageable_copy_fraction, path.uses, 1);
}

TransferId Cluster::rendezvous(Occasion kind, std::size_t sequence) {
  std::vector<TransferId>& meetings = rendezvous_[static_cast<std::size_t>(kind)];
  if (meetings.size() <= sequence) meetings.resize(sequence + 1);
  TransferId& meeting = meetings[sequence];
  if (!meeting.valid()) meeting = add(0, Time{}, 0, {}, 2);
  return meeting;
}

TransferId Cluster::peer_copy(DeviceId from, DeviceId to, double bytes) {
  const std::vector<LinkUse> route = topology_.device_to_device(from, to);
  std::vector<ClassUse> uses;
  for (const LinkUse& use : route) uses.push_back({fold_.class_of_link[use.link.index()], use.share});
  const Path path = add_route(uses, route);
  return add(bytes, path.latency, 0, path.uses, 1);
}

bool Cluster::has_storage(DeviceClassId device_class) const { return device_class.index() < storage_read_.size(); }

TransferId Cluster::storage(DeviceClassId device_class, StorageAccess access, double bytes) {
  SHARDSIM_CHECK(has_storage(device_class), "only a host with drives reads or writes them");
  const Path& path = (access == StorageAccess::read ? storage_read_ : storage_write_)[device_class.index()];
  return add(bytes, path.latency, 0, path.uses, 1);
}

TransferId Cluster::host_work(DeviceClassId device_class, double bytes, double limit) {
  const Path& path = host_memory_[device_class.index()];
  const double ranks = static_cast<double>(ranks_on_socket(device_class));
  const double reachable = cpu_optimizer_bandwidth_fraction * path.bandwidth / ranks;
  return add(bytes, Time{}, limit > 0 ? std::min(limit, reachable) : reachable, path.uses, 1);
}

}  // namespace shardsim
