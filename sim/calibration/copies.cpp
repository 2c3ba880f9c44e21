#include "sim/calibration/copies.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "model/core/check.hpp"
#include "model/core/error.hpp"

namespace shardsim {

namespace {

/// Copies of no more than this take the time of their way, not of their bytes.
constexpr double small_copy = 64 * 1024;
/// A clock may run a little fast; more than this above the datasheet is another wire.
constexpr double clock_error = 1.02;
/// What reaches less of its wire is not bounded by it: copies that are all small, or another unit.
constexpr double least_reached = 0.01;

/// What copies from one place to another reach.
struct Way {
  double bandwidth = 0;           ///< of the quickest
  std::optional<double> latency;  ///< of the quickest small one
};

/// The host is `host`, GPUs are their numbers.
using Ends = std::pair<std::size_t, std::size_t>;
constexpr std::size_t host = SIZE_MAX;

std::map<Ends, Way> ways_of(const std::vector<TimedCopy>& copies) {
  std::map<Ends, Way> ways;
  for (const TimedCopy& copy : copies) {
    Way& way = ways[{copy.from.value_or(host), copy.to.value_or(host)}];
    way.bandwidth = std::max(way.bandwidth, copy.bytes / copy.seconds);
  }
  for (const TimedCopy& copy : copies) {
    Way& way = ways[{copy.from.value_or(host), copy.to.value_or(host)}];
    if (copy.bytes > small_copy) continue;
    const double latency = copy.seconds - copy.bytes / way.bandwidth;
    if (latency > 0) way.latency = std::min(way.latency.value_or(latency), latency);
  }
  return ways;
}

bool is_port(PartKind kind) { return kind == PartKind::pcie_switch || kind == PartKind::numa; }

/// The wires from a GPU to the next NUMA node, by breadth; `from` names where the search came to a part from.
std::vector<std::size_t> wires_to_host(const Machine& machine, std::size_t gpu) {
  std::map<std::size_t, std::size_t> wire_to;
  std::vector<std::size_t> reached = {gpu};
  for (std::size_t next = 0; next < reached.size(); ++next) {
    const std::size_t at = reached[next];
    if (machine.parts[at].kind == PartKind::numa) {
      std::vector<std::size_t> wires;
      for (std::size_t part = at; part != gpu;) {
        const Wire& wire = machine.wires[wire_to.at(part)];
        wires.push_back(wire_to.at(part));
        part = wire.a == part ? wire.b : wire.a;
      }
      return wires;
    }
    for (std::size_t w = 0; w < machine.wires.size(); ++w) {
      const Wire& wire = machine.wires[w];
      if (wire.a != at && wire.b != at) continue;
      const std::size_t other = wire.a == at ? wire.b : wire.a;
      if (!is_port(machine.parts[other].kind) || wire_to.contains(other)) continue;
      wire_to[other] = w;
      reached.push_back(other);
    }
  }
  SHARDSIM_CHECK(false, "check_machine() saw to it that every GPU reaches host memory");
  return {};
}

/// The NVLink wires of a copy: straight, or both ends' to a switch; none where NVLink does not join the two.
std::vector<std::size_t> nvlinks_between(const Machine& machine, std::size_t a, std::size_t b) {
  std::map<std::size_t, std::size_t> of_a, of_b;  // by the part at the other end
  for (std::size_t w = 0; w < machine.wires.size(); ++w) {
    const Wire& wire = machine.wires[w];
    if (wire.type.kind != LinkKind::nvlink) continue;
    if ((wire.a == a && wire.b == b) || (wire.a == b && wire.b == a)) return {w};
    for (const std::size_t end : {wire.a, wire.b}) {
      const std::size_t other = end == wire.a ? wire.b : wire.a;
      if (machine.parts[other].kind != PartKind::nvswitch) continue;
      if (end == a) of_a[other] = w;
      if (end == b) of_b[other] = w;
    }
  }
  for (const auto& [nvswitch, w] : of_a) {
    if (const auto found = of_b.find(nvswitch); found != of_b.end()) return {w, found->second};
  }
  return {};
}

class Calibrator {
 public:
  Calibrator(Machine& machine, const std::string& where)
      : machine_(machine), gpus_(machine.of_kind(PartKind::gpu)), where_(where) {}

  std::size_t gpu(std::size_t number) const {
    if (number < gpus_.size()) return gpus_[number];
    throw InputError(fmt::format("a copy names GPU {}, and {} has {}", number, machine_.name, gpus_.size()), where_,
                     "--topology with as many GPUs as were measured");
  }

  /// What is as narrow as the way's narrowest wire bounds it; a wider one carries at least as much.
  void set(const std::vector<std::size_t>& wires, double bandwidth, const std::string& ends) {
    double narrowest = std::numeric_limits<double>::infinity();
    std::string type;
    for (const std::size_t w : wires) {
      const LinkType& wire = machine_.wires[w].type;
      if (wire.bandwidth.bytes_per_second < narrowest) type = wire.name;
      narrowest = std::min(narrowest, wire.bandwidth.bytes_per_second);
    }
    if (bandwidth > clock_error * narrowest || bandwidth < least_reached * narrowest) {
      throw InputError(fmt::format("copies {} run at {:.4g} GB/s, and {} carries {:.4g} GB/s", ends, bandwidth / 1e9,
                                   type, narrowest / 1e9),
                       where_, "--topology with the wires that were measured, and copies of 16 MiB or more");
    }
    for (const std::size_t w : wires) {
      Wire& wire = machine_.wires[w];
      const double part = std::min(1.0, std::round(bandwidth / wire.type.bandwidth.bytes_per_second * 1e4) / 1e4);
      const bool narrow = wire.type.bandwidth.bytes_per_second <= clock_error * narrowest;
      const double before = seen_.contains(w) || !narrow ? wire.efficiency.value_or(wire.type.efficiency) : 0;
      if (part > before) wire.efficiency = part;
      seen_.insert(w);
    }
  }

  void set_latency(const std::vector<std::size_t>& wires, double seconds) {
    for (const std::size_t w : wires) {
      const Time share = Time::from_seconds(seconds / static_cast<double>(wires.size()));
      Wire& wire = machine_.wires[w];
      wire.latency = std::min(wire.latency.value_or(share), share);
    }
  }

 private:
  Machine& machine_;
  std::vector<std::size_t> gpus_;
  std::string where_;
  std::set<std::size_t> seen_;  ///< wires that a copy has set
};

}  // namespace

void calibrate_copies(Machine& machine, const std::vector<TimedCopy>& copies, const std::string& where,
                      std::vector<std::string>& remarks) {
  Calibrator calibrator(machine, where);
  std::size_t aside = 0;
  const std::map<Ends, Way> ways = ways_of(copies);
  std::map<std::size_t, std::vector<Way>> of_host;  // by GPU, either way
  for (const auto& [ends, way] : ways) {
    if (ends.first == host || ends.second == host) {
      of_host[ends.first == host ? ends.second : ends.first].push_back(way);
      continue;
    }
    const auto wires = nvlinks_between(machine, calibrator.gpu(ends.first), calibrator.gpu(ends.second));
    if (wires.empty()) {
      ++aside;
      continue;
    }
    calibrator.set(wires, way.bandwidth, fmt::format("from GPU {} to GPU {}", ends.first, ends.second));
  }
  for (const auto& [number, both] : of_host) {
    const auto wires = wires_to_host(machine, calibrator.gpu(number));
    double bandwidth = 0;
    for (const Way& way : both) bandwidth += way.bandwidth / static_cast<double>(both.size());
    calibrator.set(wires, bandwidth, fmt::format("between the host and GPU {}", number));
    for (const Way& way : both) {
      if (way.latency) calibrator.set_latency(wires, *way.latency);
    }
  }
  if (aside > 0) {
    remarks.push_back(fmt::format("left aside: {} ways between GPUs that no NVLink joins", aside));
  }
}

}  // namespace shardsim
