#include "sim/plan/cluster.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "model/core/check.hpp"
#include "sim/cost/constants.hpp"

namespace shardsim {

Cluster::Cluster(const Topology& topology, const Fold& fold, const ProcessGroups& groups, Plan& plan)
    : topology_(topology), fold_(fold), plan_(plan) {
  for (const LinkClass& members : fold.links) {
    const Link& link = topology.links[members.first.index()];
    plan.links.push_back({topology.name_of(members.first), static_cast<std::uint32_t>(members.count),
                          static_cast<std::uint8_t>(link.kind), link.bandwidth.bytes_per_second,
                          link.effective().bytes_per_second});
  }
  for (const std::vector<HostId>& members : fold.hosts) {
    const Host& host = topology.hosts[members.front().index()];
    std::int64_t storage = 0;
    for (const Storage& volume : topology.storages) {
      if (volume.host == members.front()) storage += volume.capacity.value();
    }
    plan.host_classes.push_back(
        {topology.name_of(members.front()), static_cast<std::uint32_t>(members.size()), host.memory.value(), storage});
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
  for (const std::vector<DeviceId>& members : fold.devices) {
    ranks_.push_back(groups.shard.rank_of(members.front()));
  }
  meetings_ = {meetings_of(groups.shard), meetings_of(groups.replicate)};
}

namespace {

/// The first of the device classes that share a group with each, directly or through others.
std::vector<std::size_t> meeting_classes(const Communicator& communicator, const Fold& fold) {
  std::vector<std::size_t> of_class(fold.devices.size());
  std::iota(of_class.begin(), of_class.end(), std::size_t{0});
  const auto meet = [&](std::size_t device, std::size_t other) {
    const std::size_t a = of_class[fold.class_of_device[device].index()];
    const std::size_t b = of_class[fold.class_of_device[other].index()];
    std::replace(of_class.begin(), of_class.end(), std::max(a, b), std::min(a, b));
  };
  const std::size_t gpus = communicator.devices_a_node;
  std::vector<bool> seen(fold.hosts_of_kind.size(), false);
  for (std::size_t host = 0; host < fold.kind_of_host.size(); ++host) {
    if (seen[fold.kind_of_host[host]]) continue;
    seen[fold.kind_of_host[host]] = true;
    for (std::size_t place = 0; place < gpus; ++place) {
      const std::size_t first = communicator.groups == Communicator::Groups::node    ? host * gpus
                                : communicator.groups == Communicator::Groups::place ? place
                                                                                     : 0;
      meet(first, host * gpus + place);
    }
  }
  return of_class;
}

}  // namespace

Cluster::Meetings Cluster::meetings_of(const Communicator& communicator) {
  Meetings meetings;
  meetings.ranks = communicator.ranks;
  if (meetings.ranks == 1) return meetings;
  meetings.of_class = meeting_classes(communicator, fold_);
  meetings.all.resize(fold_.devices.size());
  for (const std::size_t meeting : meetings.of_class) ++meetings.all[meeting].programs;
  for (std::size_t m = 0; m < meetings.all.size(); ++m) {
    if (meetings.all[m].programs == 0) continue;
    meetings.all[m].uses = write_uses(meeting_uses(communicator, meetings.of_class, m));
    meetings.all[m].shape = shape_of(communicator, meetings.all[m].uses);
  }
  return meetings;
}

std::vector<ClassUse> Cluster::meeting_uses(const Communicator& communicator, const std::vector<std::size_t>& of_class,
                                            std::size_t meeting) const {
  const std::size_t gpus = communicator.devices_a_node;
  const auto is_in = [&](std::size_t device) { return of_class[fold_.class_of_device[device].index()] == meeting; };
  RingLoads loads;
  for (std::size_t place = 0; place < communicator.rings.size(); ++place) {
    if (communicator.groups != Communicator::Groups::place || is_in(place)) loads += communicator.rings[place];
  }
  std::vector<bool> takes_part(fold_.hosts_of_kind.size(), true);
  if (communicator.groups == Communicator::Groups::node) {
    for (std::size_t host = 0; host < fold_.kind_of_host.size(); ++host) {
      takes_part[fold_.kind_of_host[host]] = is_in(host * gpus);
    }
  }
  return ring_uses(fold_, loads, takes_part);
}

// Groups of one communicator run at the same time, so what a ring reaches is its part of each link beside theirs.
CollectiveShape Cluster::shape_of(const Communicator& communicator, const UseRange& uses) {
  std::vector<double> load(plan_.links.size(), 0);
  for (const ClassUse& use : ring_uses(fold_, communicator.all_rings())) load[use.link.index()] = use.share;
  CollectiveShape shape;
  shape.ranks = communicator.ranks;
  shape.nodes = communicator.nodes;
  shape.figures = topology_.collectives;
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
      if (topology_.storages[s].host == topology_.host_of(device)) return StorageId(s);
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
  return static_cast<std::uint32_t>(fold_.class_of_host[topology_.host_of(device).index()].index());
}

std::int64_t Cluster::ranks_on_host() const { return static_cast<std::int64_t>(topology_.devices_a_host()); }

std::int64_t Cluster::ranks_on_socket(DeviceClassId device_class) const {
  const DeviceId device = fold_.devices[device_class.index()].front();
  const std::size_t first = topology_.host_of(device).index() * topology_.devices_a_host();
  std::int64_t ranks = 0;
  for (std::size_t other = first; other < first + topology_.devices_a_host(); ++other) {
    if (topology_.devices[other].socket == topology_.devices[device.index()].socket) ++ranks;
  }
  return ranks;
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
  return add(bytes, path.latency, pinned ? 0 : path.bandwidth * cost_constants().pageable_copy_fraction, path.uses, 1);
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
  for (const LinkUse& use : route) uses.push_back({fold_.class_of(use.link), use.share});
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
  const double reachable = cost_constants().cpu_optimizer_bandwidth_fraction * path.bandwidth / ranks;
  return add(bytes, Time{}, limit > 0 ? std::min(limit, reachable) : reachable, path.uses, 1);
}

}  // namespace shardsim
