#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/report/html/data.hpp"
#include "sim/report/link_rates.hpp"

namespace shardsim::html {

namespace {

constexpr std::size_t most_links = 600;  // drawn: those of one node come first
constexpr std::size_t busiest = 12;
constexpr std::size_t intervals = 240;

double utilization(const Plan& plan, const Outcome& outcome, std::size_t link) {
  const double seconds = outcome.step_time.seconds();
  return seconds > 0 ? outcome.links[link].bytes / (plan.links[link].bandwidth * seconds) : 0;
}

double rounded(double fraction) { return std::round(fraction * 1e4) / 1e4; }

/// The average rate in each interval of the step, as a part of the datasheet's bandwidth.
Json use_over_time(const std::vector<RateSample>& samples, double bandwidth, Time begin, Time length) {
  std::vector<double> bytes(intervals, 0);
  const double width = length.seconds() / intervals;
  const auto add = [&](double from, double to, double rate) {
    for (auto k = static_cast<std::size_t>(std::max(0.0, from / width)); k < intervals; ++k) {
      const double left = std::max(from, static_cast<double>(k) * width);
      const double right = std::min(to, static_cast<double>(k + 1) * width);
      if (right <= left) break;
      bytes[k] += rate * (right - left);
    }
  };
  for (std::size_t s = 0; s + 1 < samples.size(); ++s) {
    if (samples[s].rate > 0) {
      add(samples[s].instant.seconds() - begin.seconds(), samples[s + 1].instant.seconds() - begin.seconds(),
          samples[s].rate);
    }
  }
  Json use = Json::array();
  for (const double amount : bytes) use.push_back(rounded(width > 0 ? amount / (width * bandwidth) : 0));
  return use;
}

}  // namespace

Json links_data(const Topology& topology, const PlannedRun& run, const Outcome& outcome) {
  const Plan& plan = run.plan;
  Json links = Json::array();
  for (std::size_t l = 0; l < topology.links.size() && l < most_links; ++l) {
    const Link& link = topology.links[l];
    const std::size_t of_class = run.fold.class_of(LinkId(l)).index();
    links.push_back({{"id", topology.name_of(LinkId(l))},
                     {"kind", name_of(link.kind)},
                     {"bandwidth_Bps", link.bandwidth.bytes_per_second},
                     {"bytes", std::round(outcome.links[of_class].bytes)},
                     {"utilization", rounded(utilization(plan, outcome, of_class))}});
  }
  std::vector<std::size_t> order(plan.links.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::erase_if(order, [&](std::size_t l) { return outcome.links[l].bytes <= 0; });
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return utilization(plan, outcome, a) > utilization(plan, outcome, b);
  });
  order.resize(std::min(order.size(), busiest));
  const std::vector<std::vector<RateSample>> rates = link_rates(plan, outcome);
  Json over_time = Json::array();
  for (const std::size_t l : order) {
    const PlanLink& link = plan.links[l];
    over_time.push_back({{"id", link.id},
                         {"kind", name_of(static_cast<LinkKind>(link.kind))},
                         {"count", link.count},
                         {"bandwidth_Bps", link.bandwidth},
                         {"utilization", rounded(utilization(plan, outcome, l))},
                         {"use", use_over_time(rates[l], link.bandwidth, outcome.step_begin, outcome.step_time)}});
  }
  return {{"links", links}, {"over_time", over_time}};
}

}  // namespace shardsim::html
