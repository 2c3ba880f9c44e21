#include "sim/plan/deepspeed.hpp"

#include <algorithm>
#include <cctype>
#include <string>

#include "model/core/units.hpp"

namespace shardsim {

ZeroSizes zero_sizes(Precision precision) {
  switch (precision) {
    case Precision::bf16:
      return {2, 2};
    case Precision::fp32:
    case Precision::amp_bf16:
      return {4, 4};
    default:
      return {2, 4};
  }
}

bool is_tagged_for_muon(const Parameter& parameter) {
  std::string name = parameter.name;
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return parameter.shape.size() > 1 && name.find("embed") == std::string::npos &&
         name.find("lm_head") == std::string::npos;
}

std::vector<std::vector<ParameterId>> parameter_groups(const Architecture& architecture, bool muon) {
  std::vector<std::vector<ParameterId>> groups(3);
  for (std::size_t i = 0; i < architecture.parameters.size(); ++i) {
    const Parameter& parameter = architecture.parameters[i];
    if (!parameter.trainable) continue;
    const bool decayed = parameter.shape.size() > 1;
    groups[muon && is_tagged_for_muon(parameter) ? 0 : decayed ? 1 : 2].emplace_back(i);
  }
  // MuonWithAuxAdam sorts its matrices by shape, from the largest first dimension down.
  std::stable_sort(groups[0].begin(), groups[0].end(), [&](ParameterId a, ParameterId b) {
    return architecture.parameter(a).shape > architecture.parameter(b).shape;
  });
  std::erase_if(groups, [](const std::vector<ParameterId>& group) { return group.empty(); });
  return groups;
}

namespace {

// _round_robin_reorder: every world-th parameter, from the first, then from the second, and so on.
std::vector<ParameterId> dealt_out(const std::vector<ParameterId>& parameters, std::int64_t world) {
  std::vector<ParameterId> order;
  const auto hands = static_cast<std::size_t>(world);
  for (std::size_t hand = 0; hand < std::min(hands, parameters.size()); ++hand) {
    for (std::size_t i = hand; i < parameters.size(); i += hands) order.push_back(parameters[i]);
  }
  return order;
}

}  // namespace

Grouping grouping_of(const Request& request) {
  return {request.zero.round_robin_gradients, request.optimizer == OptimizerKind::muon};
}

std::vector<FlatGroup> flat_groups(const Architecture& architecture, std::int64_t rank, std::int64_t world,
                                   const Grouping& grouping) {
  std::vector<FlatGroup> groups;
  for (const std::vector<ParameterId>& registered : parameter_groups(architecture, grouping.muon)) {
    const std::vector<ParameterId> parameters = grouping.round_robin ? dealt_out(registered, world) : registered;
    FlatGroup group;
    group.muon = grouping.muon && is_tagged_for_muon(architecture.parameter(parameters.front()));
    group.parameters = parameters;
    std::int64_t total = 0;
    for (const ParameterId p : parameters) {
      group.offset.push_back(total);
      total += architecture.parameter(p).numel;
    }
    group.padded = round_up(total, 2 * world);
    group.partition = group.padded / world;
    const std::int64_t begin = rank * group.partition;
    const std::int64_t end = begin + group.partition;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::int64_t first = std::max(begin, group.offset[i]);
      const std::int64_t last = std::min(end, group.offset[i] + architecture.parameter(parameters[i]).numel);
      if (last > first) group.owned.push_back({parameters[i], last - first});
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

void add_slices(const FlatPlace& place, std::int64_t numel, std::vector<OwnerSlice>& slices) {
  const std::int64_t end = place.offset + numel;
  for (std::int64_t begin = place.offset; begin < end;) {
    const std::int64_t owner = begin / place.partition;
    const std::int64_t next = std::min(end, (owner + 1) * place.partition);
    if (slices.empty() || slices.back().owner != owner) slices.push_back({owner, 0});
    slices.back().elements += next - begin;
    begin = next;
  }
}

std::uint64_t zero12_role(const Architecture& architecture, std::int64_t rank, std::int64_t world,
                          const Grouping& grouping) {
  std::uint64_t role = 0xcbf29ce484222325ULL;
  const auto mix = [&](std::int64_t value) { role = (role ^ static_cast<std::uint64_t>(value)) * 0x100000001b3ULL; };
  for (const FlatGroup& group : flat_groups(architecture, rank, world, grouping)) {
    for (const OwnedSlice& slice : group.owned) {
      mix(slice.elements);
      mix(architecture.parameter(slice.parameter).numel);
      mix(static_cast<std::int64_t>(slice.parameter.index()));
    }
    mix(-1);
  }
  return role;
}

}  // namespace shardsim
