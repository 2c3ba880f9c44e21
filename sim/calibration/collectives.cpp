#include "sim/calibration/collectives.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/core/error.hpp"
#include "sim/plan/cluster.hpp"

namespace shardsim {

namespace {

constexpr double KiB = 1024, MiB = 1024 * KiB;
/// Sizes that tell what launching takes, what filling the pipeline takes, and bandwidth.
constexpr double most_small = 64 * KiB, least_middle = MiB, most_middle = 64 * MiB, least_large = 16 * MiB;
/// Rounds in which efficiency, launch and fill are each set beside the others; the changes fall quickly.
constexpr int rounds = 8;
/// NICs' efficiencies are searched down to a part in 2^20.
constexpr int halvings = 20;

double four_digits(double part) { return std::round(part * 1e4) / 1e4; }

/// The first GPUs of the machine, as nccl-tests takes them.
class NcclRing {
 public:
  NcclRing(Machine machine, const std::optional<GpuSpec>& gpu, std::int64_t ranks, std::int64_t nodes,
           const Catalogs& catalogs)
      : topology_(build(std::move(machine), gpu, ranks, nodes, catalogs)),
        groups_(process_groups(topology_, false)),
        fold_(unfolded(topology_)),
        cluster_(topology_, fold_, groups_, plan_) {}

  struct Prediction {
    double latency = 0, transfer = 0;
    double seconds() const { return latency + transfer; }
  };
  Prediction predict(const TimedCollective& c) {
    const TransferId id = cluster_.collective(Group::shard, DeviceClassId(0), issued_++, c.kind, c.bytes);
    const Transfer& transfer = plan_.transfers[id.index()];
    double seconds_a_byte = 0;
    for (std::uint32_t u = transfer.uses_begin; u < transfer.uses_end; ++u) {
      const TransferUse& use = plan_.uses[u];
      seconds_a_byte = std::max(seconds_a_byte, use.share / plan_.links[use.link].capacity);
    }
    return {transfer.latency.seconds(), transfer.bytes * seconds_a_byte};
  }

 private:
  static Topology build(Machine machine, const std::optional<GpuSpec>& gpu, std::int64_t ranks, std::int64_t nodes,
                        const Catalogs& catalogs) {
    keep_gpus(machine, static_cast<std::size_t>(ranks / nodes));
    return build_topology(machine, static_cast<std::size_t>(nodes), catalogs.devices, catalogs.links, {}, gpu, {});
  }

  Topology topology_;
  ProcessGroups groups_;
  Fold fold_;
  Plan plan_;
  Cluster cluster_;
  std::size_t issued_ = 0;
};

class Calibrator {
 public:
  Calibrator(Machine& machine, const std::optional<GpuSpec>& gpu, const Catalogs& catalogs, const std::string& where)
      : machine_(machine), gpu_(gpu), catalogs_(catalogs), where_(where) {}

  void check(const TimedCollective& c) const {
    const auto has = static_cast<std::int64_t>(machine_.of_kind(PartKind::gpu).size());
    constexpr std::int64_t most_ranks = 4096;
    if (c.ranks < 2 || c.ranks > most_ranks || c.ranks % c.nodes != 0 || c.ranks / c.nodes > has) {
      throw InputError(fmt::format("{} ranks on {} nodes of {} GPUs", c.ranks, c.nodes, has), where_,
                       "--topology with as many GPUs as were measured, ranks spread evenly over nodes");
    }
  }

  NcclRing::Prediction predict(const TimedCollective& c) const {
    return NcclRing(machine_, gpu_, c.ranks, c.nodes, catalogs_).predict(c);
  }

  /// Of each kind the run that tells its bandwidth.
  std::vector<TimedCollective> largest(const std::vector<TimedCollective>& runs) const {
    std::vector<TimedCollective> found;
    for (const auto kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter, CollectiveKind::all_reduce}) {
      const TimedCollective* top = nullptr;
      for (const TimedCollective& c : runs) {
        if (c.kind == kind && (top == nullptr || c.bytes > top->bytes)) top = &c;
      }
      if (top == nullptr) continue;
      if (top->bytes < least_large) {
        throw InputError(
            fmt::format("the largest {} is of {:.0f} KiB, which tells no bandwidth", name_of(kind), top->bytes / KiB),
            where_, "sizes up to 16 MiB or more, such as -b 8 -e 4G -f 2");
      }
      found.push_back(*top);
    }
    return found;
  }

  void inside_a_node(const std::vector<TimedCollective>& runs) {
    const std::vector<TimedCollective> top = largest(runs);
    for (int round = 0; round < rounds; ++round) {
      for (const TimedCollective& c : top) set_efficiency(c);
      add_median(runs, &CollectiveFigures::launch, 0, most_small);
      add_median(runs, &CollectiveFigures::fill, least_middle, most_middle);
    }
    for (const TimedCollective& c : top) set_efficiency(c);
  }

  /// The NICs' efficiency with which the largest run takes what it took.
  void across_nodes(const std::vector<TimedCollective>& runs, std::vector<std::string>& remarks) {
    std::vector<double> found;
    for (const TimedCollective& c : largest(runs)) {
      set_nics(1);
      if (predict(c).seconds() >= c.seconds) {
        remarks.push_back(
            fmt::format("{} over {} nodes is quicker than these wires: switches that reduce are not drawn",
                        name_of(c.kind), c.nodes));
        found.push_back(1);
        continue;
      }
      double low = 0.001, high = 1;
      for (int i = 0; i < halvings; ++i) {
        const double middle = (low + high) / 2;
        set_nics(middle);
        (predict(c).seconds() > c.seconds ? low : high) = middle;
      }
      found.push_back(high);
    }
    set_nics(four_digits(median(std::move(found))));
  }

  void report(const std::vector<TimedCollective>& top, std::vector<std::string>& remarks) const {
    for (const TimedCollective& c : top) {
      const std::string nodes = c.nodes > 1 ? fmt::format(" on {} nodes", c.nodes) : "";
      remarks.push_back(fmt::format("{} of {:.0f} MiB over {} GPUs{}: {:.4g} ms measured, {:.4g} ms with this file",
                                    name_of(c.kind), c.bytes / MiB, c.ranks, nodes, c.seconds * 1e3,
                                    predict(c).seconds() * 1e3));
    }
  }

 private:
  double& efficiency(CollectiveKind kind) {
    CollectiveFigures& figures = machine_.collectives;
    if (kind == CollectiveKind::all_reduce) return figures.all_reduce;
    return kind == CollectiveKind::all_gather ? figures.all_gather : figures.reduce_scatter;
  }

  void set_efficiency(const TimedCollective& c) {
    const NcclRing::Prediction now = predict(c);
    constexpr double least = 0.001, most = 8;
    const double transfer = c.seconds - now.latency;
    const double found = transfer > 0 ? efficiency(c.kind) * now.transfer / transfer : most + 1;
    if (!(found >= least && found <= most)) {
      throw InputError(fmt::format("{} of {:.4g} MiB takes {:.3g} ms, where the machine's links make {:.3g} ms of it",
                                   name_of(c.kind), c.bytes / MiB, c.seconds * 1e3, now.seconds() * 1e3),
                       where_, "--topology with the links that were measured");
    }
    efficiency(c.kind) = four_digits(found);
  }

  void add_median(const std::vector<TimedCollective>& runs, Time CollectiveFigures::*figure, double least,
                  double most) {
    std::vector<double> beyond;
    for (const TimedCollective& c : runs) {
      if (c.bytes >= least && c.bytes <= most) beyond.push_back(c.seconds - predict(c).seconds());
    }
    if (beyond.empty()) return;
    const double found = (machine_.collectives.*figure).seconds() + median(std::move(beyond));
    constexpr double nanoseconds = 1e9;
    machine_.collectives.*figure = Time(1000 * std::max<std::int64_t>(0, std::llround(found * nanoseconds)));
  }

  void set_nics(double efficiency) {
    for (const std::size_t nic : machine_.of_kind(PartKind::nic)) machine_.parts[nic].efficiency = efficiency;
  }

  Machine& machine_;
  const std::optional<GpuSpec>& gpu_;
  const Catalogs& catalogs_;
  std::string where_;
};

}  // namespace

const char* name_of(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::all_gather:
      return "all_gather";
    case CollectiveKind::reduce_scatter:
      return "reduce_scatter";
    case CollectiveKind::all_reduce:
      return "all_reduce";
    case CollectiveKind::broadcast:
      break;
  }
  return "broadcast";
}

double predicted_seconds(const Machine& machine, const TimedCollective& collective, const Catalogs& catalogs) {
  return NcclRing(machine, std::nullopt, collective.ranks, collective.nodes, catalogs).predict(collective).seconds();
}

void calibrate_collectives(Machine& machine, const std::optional<GpuSpec>& gpu,
                           const std::vector<TimedCollective>& collectives, const Catalogs& catalogs,
                           const std::string& where, std::vector<std::string>& remarks) {
  Calibrator calibrator(machine, gpu, catalogs, where);
  std::vector<TimedCollective> inside, across;
  for (const TimedCollective& c : collectives) {
    calibrator.check(c);
    (c.nodes == 1 ? inside : across).push_back(c);
  }
  if (!inside.empty()) calibrator.inside_a_node(inside);
  if (!across.empty() && machine.of_kind(PartKind::nic).empty()) {
    throw InputError("collectives across nodes, and " + machine.name + " has no NIC", where,
                     "--topology with the NICs that were measured");
  }
  if (!across.empty()) calibrator.across_nodes(across, remarks);
  calibrator.report(calibrator.largest(inside), remarks);
  calibrator.report(calibrator.largest(across), remarks);
}

}  // namespace shardsim
