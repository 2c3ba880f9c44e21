// The machine as a plan sees it: classes of equal devices, the process group over all of them, and the routes of
// copies, written once into the plan's link and use tables.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/cost/collective_time.hpp"
#include "sim/plan/plan.hpp"
#include "sim/topology/fold.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

enum class Direction : std::uint8_t { to_device, to_host };
/// Between drives and host memory.
enum class StorageAccess : std::uint8_t { read, write };

/// One data-parallel process group over all devices, rank r on device r. Programs of different device classes meet in
/// its collectives: the k-th collective that one program issues is the k-th of every other.
class Cluster {
 public:
  /// Writes `plan.links`, `plan.host_classes` and the uses of every route; `rings` are what the group's collectives run
  /// on. `plan` must outlive the cluster.
  Cluster(const Topology& topology, const Fold& fold, std::span<const Ring> rings, Plan& plan);

  std::int64_t world() const { return static_cast<std::int64_t>(topology_.devices.size()); }
  const Topology& topology() const { return topology_; }
  const Fold& fold() const { return fold_; }
  /// Ranks that share the host, and so its cores, with the class's representative.
  std::int64_t ranks_on_host(DeviceClassId device_class) const;
  /// Ranks that share the NUMA node of the class's representative, and so its memory's bandwidth.
  std::int64_t ranks_on_socket(DeviceClassId device_class) const;
  std::uint32_t host_class_of(DeviceClassId device_class) const;

  /// The `sequence`-th collective of the group; made by the first program that reaches it, joined by the others.
  TransferId collective(std::size_t sequence, CollectiveKind kind, double total_bytes);
  /// Every member of the class copies `bytes` at once.
  TransferId copy(DeviceClassId device_class, Direction direction, double bytes, bool pinned);
  /// The `sequence`-th meeting of two programs; made by the first that reaches it. Moves nothing.
  TransferId rendezvous(std::size_t sequence);
  /// Alone, between two devices; both are classes of their own.
  TransferId peer_copy(DeviceId from, DeviceId to, double bytes);
  /// True where the class's host has drives.
  bool has_storage(DeviceClassId device_class) const;
  /// Every member reads from or writes to its host's drives at once. The host must have some.
  TransferId storage(DeviceClassId device_class, StorageAccess access, double bytes);
  /// Every member's CPU reads and writes `bytes` of the DRAM next to its device at once; never faster than `limit`
  /// (0: none) nor than such loops reach of the memory's bandwidth.
  TransferId host_work(DeviceClassId device_class, double bytes, double limit);

 private:
  struct UseRange {
    std::uint32_t begin = 0, end = 0;
  };
  /// A copy's route: what all members load onto the links together, and what one reaches when it copies alone.
  struct Path {
    UseRange uses;
    double bandwidth = 0;  ///< bytes a second
    Time latency;
  };
  Path add_route(std::span<const ClassUse> uses, std::span<const LinkUse> alone);
  void add_storage_routes(DeviceClassId device_class);
  UseRange write_uses(std::span<const ClassUse> uses);
  TransferId add(double bytes, Time latency, double limit, const UseRange& uses, std::size_t participants);
  void describe_group(std::span<const Ring> rings);

  const Topology& topology_;
  const Fold& fold_;
  Plan& plan_;
  std::vector<Path> to_device_, to_host_, host_memory_;  ///< by device class
  std::vector<Path> storage_read_, storage_write_;       ///< likewise; empty without drives
  UseRange group_uses_;
  CollectiveShape group_;
  struct Issued {
    TransferId transfer;
    CollectiveKind kind;
    double bytes;
  };
  std::vector<Issued> issued_;
  std::vector<TransferId> meetings_;
};

}  // namespace shardsim
