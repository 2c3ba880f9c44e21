// The machine as a plan sees it: classes of equal devices, the process groups over them, and the routes of copies,
// written once into the plan's link and use tables.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/cost/collective_time.hpp"
#include "sim/plan/plan.hpp"
#include "sim/plan/process_groups.hpp"
#include "sim/topology/fold.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

enum class Direction : std::uint8_t { to_device, to_host };
/// Between drives and host memory.
enum class StorageAccess : std::uint8_t { read, write };
/// What two programs of a device map meet for: to hand over the hidden state, or the turn to write.
enum class Occasion : std::uint8_t { move, save };

/// Programs of different device classes meet in the collectives of their groups: the k-th collective that one program
/// issues in a group is the k-th of every other. Where a class's members stand in several groups of a communicator at
/// once, one transfer stands for what all of them do.
class Cluster {
 public:
  /// Writes `plan.links`, `plan.host_classes` and the uses of every route. `fold` keeps links apart that the groups'
  /// rings load differently. `plan` must outlive the cluster.
  Cluster(const Topology& topology, const Fold& fold, const ProcessGroups& groups, Plan& plan);

  /// Ranks in each group of the communicator.
  std::int64_t size(Group group) const { return meetings_[static_cast<std::size_t>(group)].ranks; }
  /// Place of the class's representative in its shard group.
  std::int64_t rank(DeviceClassId device_class) const { return ranks_[device_class.index()]; }
  const Topology& topology() const { return topology_; }
  const Fold& fold() const { return fold_; }
  /// Ranks that share a host, and so its cores.
  std::int64_t ranks_on_host() const;
  /// Ranks that share the NUMA node of the class's representative, and so its memory's bandwidth.
  std::int64_t ranks_on_socket(DeviceClassId device_class) const;
  std::uint32_t host_class_of(DeviceClassId device_class) const;

  /// The `sequence`-th collective of the class's groups; made by the first program that reaches it, joined by the
  /// others.
  TransferId collective(Group group, DeviceClassId device_class, std::size_t sequence, CollectiveKind kind,
                        double total_bytes);
  /// Every member of the class copies `bytes` at once.
  TransferId copy(DeviceClassId device_class, Direction direction, double bytes, bool pinned);
  /// The `sequence`-th meeting of two programs of its kind; made by the first that reaches it. Moves nothing.
  TransferId rendezvous(Occasion kind, std::size_t sequence);
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
  struct Issued {
    TransferId transfer;
    CollectiveKind kind;
    double bytes;
  };
  /// Device classes that share groups of a communicator, and what their collectives load.
  struct Meeting {
    std::size_t programs = 0;
    UseRange uses;
    CollectiveShape shape;
    std::vector<Issued> issued;
  };
  struct Meetings {
    std::int64_t ranks = 1;
    std::vector<std::size_t> of_class;  ///< index into `all`
    std::vector<Meeting> all;
  };
  Meetings meetings_of(const Communicator& communicator);
  std::vector<ClassUse> meeting_uses(const Communicator& communicator, const std::vector<std::size_t>& of_class,
                                     std::size_t meeting) const;
  CollectiveShape shape_of(const Communicator& communicator, const UseRange& uses);

  const Topology& topology_;
  const Fold& fold_;
  Plan& plan_;
  std::vector<Path> to_device_, to_host_, host_memory_;  ///< by device class
  std::vector<Path> storage_read_, storage_write_;       ///< likewise; empty without drives
  std::vector<std::int64_t> ranks_;                      ///< likewise
  std::array<Meetings, 2> meetings_;                     ///< by Group
  std::array<std::vector<TransferId>, 2> rendezvous_;    ///< by Occasion
};

}  // namespace shardsim
