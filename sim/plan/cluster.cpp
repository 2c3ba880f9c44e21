#include "sim/plan/cluster.hpp"

#include <algorithm>
#include <limits>

#include "model/core/check.hpp"
#include "sim/cost/host_time.hpp"

namespace shardsim {

Cluster::Cluster(const Topology& topology, const Fold& fold, std::span<const Ring> rings, Plan& plan)
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
  if (world() > 1) describe_group(rings);
}

void Cluster::describe_group(std::span<const Ring> rings) {
  group_uses_ = write_uses(ring_uses(fold_, topology_, rings));
  group_.ranks = world();
  group_.nodes = static_cast<std::int64_t>(topology_.hosts.size());
  group_.bandwidth = std::numeric_limits<double>::infinity();
  // A ring is as quick as its slowest hop: any that is no NVLink makes it a PCIe ring.
  group_.intra = HopKind::nvlink;
  for (std::uint32_t u = group_uses_.begin; u < group_uses_.end; ++u) {
    const PlanLink& link = plan_.links[plan_.uses[u].link];
    group_.bandwidth = std::min(group_.bandwidth, link.capacity / plan_.uses[u].share);
    const auto kind = static_cast<LinkKind>(link.kind);
    if (group_.nodes == 1 && kind != LinkKind::nvlink) group_.intra = HopKind::pcie;
    if (group_.nodes > 1 && kind == LinkKind::memory) group_.intra = HopKind::pcie;
  }
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

TransferId Cluster::collective(std::size_t sequence, CollectiveKind kind, double total_bytes) {
  SHARDSIM_CHECK(world() > 1, "a collective takes several ranks");
  if (sequence == issued_.size()) {
    const CollectiveCost cost = collective_cost(kind, total_bytes, group_);
    issued_.push_back({add(cost.bytes, cost.latency, 0, group_uses_, fold_.devices.size()), kind, total_bytes});
  }
  SHARDSIM_CHECK(sequence < issued_.size(), "programs issue their collectives one after the other");
  const Issued& issued = issued_[sequence];
  SHARDSIM_CHECK(issued.kind == kind && issued.bytes == total_bytes,
                 "all ranks issue the same collectives in the same order");
  return issued.transfer;
}

TransferId Cluster::copy(DeviceClassId device_class, Direction direction, double bytes, bool pinned) {
  const Path& path = (direction == Direction::to_device ? to_device_ : to_host_)[device_class.index()];
  return add(bytes, path.latency, pinned ? 0 : path.bandwidth * pageable_copy_fraction, path.uses, 1);
}

TransferId Cluster::rendezvous(std::size_t sequence) {
  if (meetings_.size() <= sequence) meetings_.resize(sequence + 1);
  TransferId& meeting = meetings_[sequence];
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
