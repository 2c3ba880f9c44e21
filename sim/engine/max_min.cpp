#include "sim/engine/max_min.hpp"

#include <algorithm>

#include "model/core/check.hpp"

namespace shardsim {

namespace {

/// Levels closer than this are one level: symmetric links fill up together, in one round, whatever the last bits say.
constexpr double same_level = 1 + 1e-13;

}  // namespace

MaxMin::MaxMin(std::span<const double> capacities) : links_(capacities.size()) {
  for (std::size_t i = 0; i < capacities.size(); ++i) links_[i].capacity = capacities[i];
}

MaxMin::Slot MaxMin::add(std::span<const TransferUse> uses, double weight, double limit) {
  Slot slot = static_cast<Slot>(flows_.size());
  if (vacant_.empty()) {
    flows_.emplace_back();
  } else {
    slot = vacant_.back();
    vacant_.pop_back();
  }
  Flow& flow = flows_[slot];
  flow = Flow{};
  flow.uses = uses;
  flow.weight = weight;
  flow.fresh = true;
  if (limit > 0) flow.limit = limit;
  for (const TransferUse& use : uses) links_[use.link].members.push_back({slot, use.share});
  fresh_.push_back(slot);
  return slot;
}

void MaxMin::remove(Slot slot) {
  for (const TransferUse& use : flows_[slot].uses) {
    std::vector<Member>& members = links_[use.link].members;
    const auto it = std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.slot == slot; });
    SHARDSIM_CHECK(it != members.end(), "a flow stands on each link that it uses");
    *it = members.back();
    members.pop_back();
    if (!members.empty()) dirty_.push_back(use.link);
  }
  flows_[slot].uses = {};
  if (flows_[slot].fresh) std::erase(fresh_, slot);
  vacant_.push_back(slot);
}

std::span<const MaxMin::Slot> MaxMin::solve() {
  ++round_;
  changed_.clear();
  for (const Slot slot : fresh_) {
    if (flows_[slot].seen == round_) continue;
    if (is_alone(flows_[slot])) {
      fill_alone(flows_[slot]);
      flows_[slot].fresh = false;
      changed_.push_back(slot);
      continue;
    }
    join_flow(slot);
    grow_component();
  }
  for (const std::uint32_t link : dirty_) {
    if (links_[link].seen == round_) continue;
    join_link(link);
    grow_component();
  }
  fresh_.clear();
  dirty_.clear();
  return changed_;
}

void MaxMin::join_flow(Slot slot) {
  if (flows_[slot].seen == round_) return;
  flows_[slot].seen = round_;
  component_flows_.push_back(slot);
}

void MaxMin::join_link(std::uint32_t link) {
  if (links_[link].seen == round_) return;
  links_[link].seen = round_;
  component_links_.push_back(link);
  for (const Member& member : links_[link].members) join_flow(member.slot);
}

/// Closes the component under "shares a link with" and solves it.
void MaxMin::grow_component() {
  for (std::size_t i = 0; i < component_flows_.size(); ++i) {
    for (const TransferUse& use : flows_[component_flows_[i]].uses) join_link(use.link);
  }
  old_rates_.clear();
  for (const Slot slot : component_flows_) old_rates_.push_back(flows_[slot].rate);
  if (component_flows_.size() == 1 && is_alone(flows_[component_flows_[0]])) {
    fill_alone(flows_[component_flows_[0]]);
  } else {
    fill_component();
  }
  report_changes();
  component_flows_.clear();
  component_links_.clear();
}

bool MaxMin::is_alone(const Flow& flow) const {
  return std::all_of(flow.uses.begin(), flow.uses.end(),
                     [&](const TransferUse& use) { return links_[use.link].members.size() == 1; });
}

void MaxMin::fill_alone(Flow& flow) const {
  flow.rate = flow.limit;
  for (const TransferUse& use : flow.uses) flow.rate = std::min(flow.rate, links_[use.link].capacity / use.share);
}

/// Invariant of the rounds: every closed flow has its final rate, every open flow stands at weight * level, and no link
/// carries more than its capacity. Each round closes at least one flow.
void MaxMin::fill_component() {
  std::size_t open = component_flows_.size();
  for (const Slot slot : component_flows_) flows_[slot].open = true;
  for (const std::uint32_t index : component_links_) {
    Link& link = links_[index];
    link.left = link.capacity;
    link.demand = 0;
    link.open = static_cast<std::uint32_t>(link.members.size());
    for (const Member& member : link.members) link.demand += flows_[member.slot].weight * member.share;
  }
  while (open > 0) {
    const double level = next_level();
    const double bound = level * same_level;
    full_.clear();
    for (const std::uint32_t index : component_links_) {
      const Link& link = links_[index];
      if (link.open > 0 && link.left <= bound * link.demand) full_.push_back(index);
    }
    for (const Slot slot : component_flows_) {
      Flow& flow = flows_[slot];
      if (!flow.open || flow.limit > bound * flow.weight) continue;
      close(flow, flow.limit);
      --open;
    }
    for (const std::uint32_t index : full_) {
      for (const Member& member : links_[index].members) {
        Flow& flow = flows_[member.slot];
        if (!flow.open) continue;
        close(flow, flow.weight * level);
        --open;
      }
    }
  }
}

/// The level at which the next link fills up or the next flow reaches its limit.
double MaxMin::next_level() const {
  double level = std::numeric_limits<double>::infinity();
  for (const std::uint32_t index : component_links_) {
    const Link& link = links_[index];
    if (link.open > 0) level = std::min(level, link.left / link.demand);
  }
  for (const Slot slot : component_flows_) {
    const Flow& flow = flows_[slot];
    if (flow.open) level = std::min(level, flow.limit / flow.weight);
  }
  return level;
}

void MaxMin::close(Flow& flow, double rate) {
  flow.open = false;
  flow.rate = rate;
  for (const TransferUse& use : flow.uses) {
    Link& link = links_[use.link];
    link.left = std::max(0.0, link.left - rate * use.share);
    link.demand -= flow.weight * use.share;
    --link.open;
  }
}

void MaxMin::report_changes() {
  for (std::size_t i = 0; i < component_flows_.size(); ++i) {
    Flow& flow = flows_[component_flows_[i]];
    if (flow.fresh || flow.rate != old_rates_[i]) changed_.push_back(component_flows_[i]);
    flow.fresh = false;
  }
}

}  // namespace shardsim
