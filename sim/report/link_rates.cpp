#include "sim/report/link_rates.hpp"

#include <algorithm>
#include <span>

#include "sim/engine/max_min.hpp"

namespace shardsim {

namespace {

/// Shares the links anew whenever a transfer begins or ends, as the engine did.
class RateReplay {
 public:
  RateReplay(const Plan& plan, const std::vector<FlowSpan>& flows)
      : plan_(plan), flows_(flows), links_(plan.links.size()), sharing_(capacities_of(plan)) {}

  std::vector<std::vector<RateSample>> play() {
    std::vector<std::size_t> by_end;
    for (std::size_t f = 0; f < flows_.size(); ++f) {
      if (flows_[f].end != never) by_end.push_back(f);
    }
    std::stable_sort(by_end.begin(), by_end.end(), [&](auto a, auto b) { return flows_[a].end < flows_[b].end; });
    slots_.resize(flows_.size());
    std::size_t begun = 0, ended = 0;
    while (begun < flows_.size() || ended < by_end.size()) {
      const Time next_begin = begun < flows_.size() ? flows_[begun].begin : never;
      const Time now = std::min(next_begin, ended < by_end.size() ? flows_[by_end[ended]].end : never);
      for (; ended < by_end.size() && flows_[by_end[ended]].end == now; ++ended) end(by_end[ended]);
      for (; begun < flows_.size() && flows_[begun].begin == now; ++begun) begin(begun);
      for (const MaxMin::Slot slot : sharing_.solve()) change(running_[slot], sharing_.rate(slot));
      note(now);
    }
    std::vector<std::vector<RateSample>> samples;
    for (OneLink& link : links_) samples.push_back(std::move(link.samples));
    return samples;
  }

 private:
  struct Running {
    std::size_t flow = 0;
    double rate = 0;
  };
  struct OneLink {
    double rate = 0;
    int flows = 0;
    bool touched = false;
    std::vector<RateSample> samples;
  };

  static std::vector<double> capacities_of(const Plan& plan) {
    std::vector<double> capacities;
    for (const PlanLink& link : plan.links) capacities.push_back(link.capacity);
    return capacities;
  }

  const Transfer& transfer(std::size_t flow) const { return plan_.transfers[flows_[flow].transfer.index()]; }
  std::span<const TransferUse> uses(std::size_t flow) const {
    return {plan_.uses.data() + transfer(flow).uses_begin, transfer(flow).uses_end - transfer(flow).uses_begin};
  }

  void begin(std::size_t flow) {
    const MaxMin::Slot slot = sharing_.add(uses(flow), transfer(flow).weight, transfer(flow).limit);
    if (slot >= running_.size()) running_.resize(slot + 1);
    slots_[flow] = slot;
    running_[slot] = {flow, 0};
    for (const TransferUse& use : uses(flow)) ++links_[use.link].flows;
  }

  void end(std::size_t flow) {
    change(running_[slots_[flow]], 0);
    for (const TransferUse& use : uses(flow)) --links_[use.link].flows;
    sharing_.remove(slots_[flow]);
  }

  void change(Running& running, double rate) {
    for (const TransferUse& use : uses(running.flow)) {
      OneLink& link = links_[use.link];
      link.rate += (rate - running.rate) * use.share;
      if (!link.touched) touched_.push_back(use.link);
      link.touched = true;
    }
    running.rate = rate;
  }

  void note(Time now) {
    for (const std::uint32_t l : touched_) {
      OneLink& link = links_[l];
      if (link.flows == 0) link.rate = 0;  // an idle link forgets rounding
      link.touched = false;
      link.samples.push_back({now, std::max(0.0, link.rate)});
    }
    touched_.clear();
  }

  const Plan& plan_;
  const std::vector<FlowSpan>& flows_;
  std::vector<OneLink> links_;
  std::vector<std::uint32_t> touched_;
  std::vector<MaxMin::Slot> slots_;  ///< by flow
  std::vector<Running> running_;     ///< by slot
  MaxMin sharing_;
};

}  // namespace

std::vector<std::vector<RateSample>> link_rates(const Plan& plan, const Outcome& outcome) {
  return RateReplay(plan, outcome.flows).play();
}

}  // namespace shardsim
