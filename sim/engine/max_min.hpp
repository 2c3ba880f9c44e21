// Max-min fair rates of flows that share links, kept up to date as flows come and go.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "sim/plan/plan.hpp"

namespace shardsim {

/// Weighted max-min fairness by progressive filling (Bertsekas and Gallager, Data Networks, section 6.5.2): all rates
/// grow together, in proportion to their weights, until a link is full or a flow reaches its own limit; those flows
/// stay, the others grow on. A flow at rate r takes r * share of each link that it uses.
///
/// Only the flows connected, through shared links, to one that came or went are looked at again: the others keep their
/// rates bit for bit.
class MaxMin {
 public:
  using Slot = std::uint32_t;

  /// Capacities in bytes a second, finite and not negative.
  explicit MaxMin(std::span<const double> capacities);

  /// A new flow; `uses` must outlive it. `weight` > 0; `limit` 0 = none. Its rate is 0 until the next solve().
  Slot add(std::span<const TransferUse> uses, double weight, double limit);
  void remove(Slot slot);

  /// Brings all rates up to date and returns the flows whose rate changed, new flows included.
  /// A flow over no link and without a limit gets an infinite rate.
  std::span<const Slot> solve();

  double rate(Slot slot) const { return flows_[slot].rate; }

 private:
  struct Flow {
    std::span<const TransferUse> uses;
    double weight = 1;
    double limit = std::numeric_limits<double>::infinity();
    double rate = 0;
    std::uint32_t seen = 0;  ///< round in which it joined a component
    bool open = false;       ///< its rate still grows
    bool fresh = false;      ///< not solved for yet
  };
  struct Member {
    Slot slot;
    double share;
  };
  struct Link {
    double capacity = 0;
    double left = 0;    ///< capacity that closed flows leave
    double demand = 0;  ///< sum of weight * share over open flows
    std::uint32_t open = 0;
    std::uint32_t seen = 0;
    std::vector<Member> members;
  };

  void join_flow(Slot slot);
  void join_link(std::uint32_t link);
  void grow_component();
  bool is_alone(const Flow& flow) const;
  void fill_alone(Flow& flow) const;
  void fill_component();
  double next_level() const;
  void close(Flow& flow, double rate);
  void report_changes();

  std::vector<Flow> flows_;
  std::vector<Link> links_;
  std::vector<Slot> vacant_;
  std::vector<Slot> fresh_;           ///< flows added since the last solve
  std::vector<std::uint32_t> dirty_;  ///< links that lost a flow since the last solve
  std::vector<Slot> component_flows_;
  std::vector<double> old_rates_;  ///< of component_flows_
  std::vector<std::uint32_t> component_links_;
  std::vector<std::uint32_t> full_;  ///< links that fill up at the level of this round
  std::vector<Slot> changed_;
  std::uint32_t round_ = 0;
};

}  // namespace shardsim
