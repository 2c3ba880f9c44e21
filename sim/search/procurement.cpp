#include "sim/search/procurement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/report/run.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/search/changes.hpp"

namespace shardsim {

namespace {

constexpr double hours_a_year = 8760;

std::string named(const std::string& system, std::size_t nodes) {
  return nodes == 1 ? system : fmt::format("{}x{}", nodes, system);
}

/// The search on one machine: number of nodes first, then what makes it faster.
class OneMachine {
 public:
  OneMachine(std::string system, const OptionTexts& job, const Constraints& constraints, const PriceList& prices,
             Evaluator& evaluator)
      : system_(std::move(system)),
        job_(job),
        constraints_(constraints),
        evaluator_(evaluator),
        node_(evaluator
                  .scenario(with(with(job, "topology", system_), "strategy",
                                 job.contains("strategy") ? job.at("strategy").value : "zero3"))
                  .topology),
        price_(prices.of(system_, node_)) {}

  Offer find() {
    Offer best = smallest_that_fits();
    if (!best.fits()) return finished(std::move(best));
    best = faster(std::move(best));
    // Twice the nodes are about twice as fast: straight to where the deadline could be met.
    while (constraints_.hours && best.hours > *constraints_.hours && best.nodes * 2 <= constraints_.most_nodes) {
      const double factor = std::max(2.0, best.hours / *constraints_.hours);
      const std::size_t nodes =
          std::min(constraints_.most_nodes,
                   std::bit_ceil(static_cast<std::size_t>(std::ceil(factor * static_cast<double>(best.nodes)))));
      Offer larger = offer(nodes, best.options);
      if (!larger.fits() || larger.hours >= best.hours) break;
      best = std::move(larger);
    }
    return finished(std::move(best));
  }

  /// What a search ended in, simulated again.
  Offer repeat(std::size_t nodes, OptionTexts options) { return finished(offer(nodes, std::move(options))); }

 private:
  Offer offer(std::size_t nodes, OptionTexts options) {
    Offer made;
    made.system = system_;
    made.gpu = node_.devices.front().spec.name;
    made.nodes = nodes;
    made.gpus = nodes * node_.devices.size();
    made.options = with(std::move(options), "topology", named(system_, nodes));
    made.result = evaluator_.evaluate(made.options);
    const double machines = static_cast<double>(nodes);
    made.power_assumed = assumes_host_power(node_);
    made.watts = power_of(node_) * machines;
    made.rack_units = node_.rack_units * machines;
    made.price = price_;
    const Figures& figures = made.result.figures;
    if (figures.run_hours) made.hours = *figures.run_hours;
    made.energy_kWh = made.watts * made.hours / 1000;
    if (price_.rent_per_hour && constraints_.rent) made.rent_usd = *price_.rent_per_hour * machines * made.hours;
    if (price_.buy && constraints_.buy) {
      made.buy_usd = *price_.buy * machines;
      made.own_usd =
          *made.buy_usd * made.hours / (constraints_.years * hours_a_year) + made.energy_kWh * constraints_.usd_per_kWh;
    }
    return made;
  }

  /// The least demanding way on ever more nodes; offload only where one node cannot do without.
  Offer smallest_that_fits() {
    OptionTexts options = job_;
    if (!options.contains("checkpointing")) options = with(std::move(options), "checkpointing", "full");
    const bool chosen = job_.contains("strategy");
    std::vector<std::string> strategies{chosen                      ? job_.at("strategy").value
                                        : node_.devices.size() == 1 ? "single"
                                                                    : "zero3"};
    if (!chosen) strategies.push_back("zero3-offload");
    Offer closest;
    bool first = true;
    for (std::size_t nodes = 1; nodes <= constraints_.most_nodes; nodes *= 2) {
      for (std::string strategy : strategies) {
        // Offload is for those who have one node.
        if (nodes > 1 && strategy == "zero3-offload") continue;
        if (nodes > 1 && !chosen) strategy = "zero3";
        Offer made = offer(nodes, with(options, "strategy", strategy));
        if (made.fits() && !too_slow(made)) return made;
        if (first || (made.fits() && !closest.fits())) closest = std::move(made), first = false;
      }
      if (closest.fits() && !constraints_.hours) return closest;
    }
    return closest;
  }

  /// Offload may fit and take years; more nodes without it are looked at then.
  bool too_slow(const Offer& made) const {
    return constraints_.hours && made.hours > *constraints_.hours &&
           made.options.at("strategy").value.ends_with("-offload");
  }

  static bool is_faster(const Offer& other, const Offer& best) {
    constexpr double least_gain = 0.99;
    return other.fits() && other.hours < least_gain * best.hours;
  }

  /// Ever larger micro-batches, while each helps.
  Offer with_best_batch(Offer best) {
    constexpr int most = 32;
    for (int micro_batch = 2; micro_batch <= most && !job_.contains("micro-batch"); micro_batch *= 2) {
      Offer other = offer(best.nodes, with(best.options, "micro-batch", fmt::format("{}", micro_batch)));
      if (!is_faster(other, best)) break;
      best = std::move(other);
    }
    return best;
  }

  Offer faster(Offer first) {
    const OptionTexts options = first.options;
    Offer best = with_best_batch(std::move(first));
    if (!job_.contains("checkpointing")) {
      // Each with a batch of its own: without recomputation a smaller one fits, and often is the faster.
      for (const char* policy : {"selective", "none"}) {
        Offer other = offer(best.nodes, with(options, "checkpointing", policy));
        if (other.fits()) other = with_best_batch(std::move(other));
        if (is_faster(other, best)) best = std::move(other);
      }
    }
    if (!job_.contains("strategy") && best.gpus > 1) {
      for (const char* strategy : {"fsdp", best.nodes > 1 ? "hsdp" : "zero2"}) {
        Offer other = offer(best.nodes, with(best.options, "strategy", strategy));
        if (is_faster(other, best)) best = std::move(other);
      }
    }
    return best;
  }

  Offer finished(Offer made) const {
    const auto miss = [&](bool broken, const std::string& what) {
      if (broken) made.misses.push_back(what);
    };
    if (!made.fits()) return made;
    miss(constraints_.hours && made.hours > *constraints_.hours, "deadline");
    const auto cost = made.cost(constraints_);
    miss(constraints_.budget_usd && (!cost || *cost > *constraints_.budget_usd), cost ? "budget" : "budget (no price)");
    miss(constraints_.watts && made.watts > *constraints_.watts, "power");
    const bool known = made.rack_units > 0;
    miss(constraints_.rack_units && (!known || made.rack_units > *constraints_.rack_units),
         known ? "rack" : "rack (height not known)");
    return made;
  }

  std::string system_;
  const OptionTexts& job_;
  const Constraints& constraints_;
  Evaluator& evaluator_;
  Topology node_;
  Price price_;
};

/// What meets all constraints by cost, where the price is known, then the rest by time.
bool is_better(const Offer& a, const Offer& b, const Constraints& constraints) {
  if (a.result.status != b.result.status) return a.result.status < b.result.status;
  if (!a.fits()) {
    return a.result.figures.peak_used_bytes - a.result.figures.capacity_bytes <
           b.result.figures.peak_used_bytes - b.result.figures.capacity_bytes;
  }
  if (a.misses.size() != b.misses.size()) return a.misses.size() < b.misses.size();
  const auto cost_a = a.cost(constraints), cost_b = b.cost(constraints);
  if (cost_a.has_value() != cost_b.has_value()) return cost_a.has_value();
  if (cost_a && *cost_a != *cost_b) return *cost_a < *cost_b;
  return a.hours < b.hours;
}

bool is_wanted(const std::string& gpu, const Constraints& constraints) {
  return constraints.devices.empty() ||
         std::any_of(constraints.devices.begin(), constraints.devices.end(), [&](const std::string& part) {
           return normalized_name(gpu).find(normalized_name(part)) != std::string::npos;
         });
}

/// How one rank tells another what it found: the simulation is repeated there.
struct Way {
  std::size_t index = 0;  ///< of machine and recipe
  std::size_t nodes = 1;
  OptionTexts options;
};

std::string to_text(const std::vector<std::optional<Offer>>& found) {
  nlohmann::json ways = nlohmann::json::array();
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!found[i]) continue;
    nlohmann::json options;
    for (const auto& [name, text] : found[i]->options) options[name] = {text.value, text.where};
    ways.push_back({i, found[i]->nodes, std::move(options)});
  }
  // Names of files may be any bytes, which JSON could not carry.
  const std::vector<std::uint8_t> bytes = nlohmann::json::to_cbor(ways);
  return {bytes.begin(), bytes.end()};
}

std::vector<Way> ways_of(const std::string& text) {
  std::vector<Way> ways;
  for (const nlohmann::json& said : nlohmann::json::from_cbor(text)) {
    Way way{said[0], said[1], {}};
    for (const auto& [name, value] : said[2].items()) way.options[name] = {value[0], value[1]};
    ways.push_back(std::move(way));
  }
  return ways;
}

}  // namespace

std::optional<double> Offer::cost(const Constraints& constraints) const {
  return constraints.rent ? rent_usd : own_usd;
}

std::vector<Offer> find_offers(const OptionTexts& job, const std::vector<OptionTexts>& recipes,
                               const std::vector<std::string>& systems, const Constraints& constraints,
                               const PriceList& prices, const DataFolders& data, const ForEach& for_each,
                               const Team& team) {
  std::vector<std::optional<Offer>> found(systems.size() * recipes.size());
  const auto options_of = [&](std::size_t i) {
    OptionTexts options = job;
    for (const auto& [option, text] : recipes[i % recipes.size()]) options.insert_or_assign(option, text);
    return options;
  };
  const std::size_t share = (found.size() + team.size - 1 - team.rank) / team.size;
  for_each(share, [&](std::size_t n) {
    const std::size_t i = n * team.size + team.rank;
    Evaluator evaluator(data);
    const std::string& system = systems[i / recipes.size()];
    const OptionTexts options = options_of(i);
    const OptionTexts probe = with(with(options, "topology", system), "strategy", "zero3");
    if (!is_wanted(evaluator.scenario(probe).topology.devices.front().spec.name, constraints)) return;
    found[i] = OneMachine(system, options, constraints, prices, evaluator).find();
  });
  const std::vector<std::string> said = team.gather(to_text(found));
  if (team.rank != 0) return {};
  std::vector<Way> others;
  for (std::size_t rank = 1; rank < said.size(); ++rank) {
    for (Way& way : ways_of(said[rank])) others.push_back(std::move(way));
  }
  for_each(others.size(), [&](std::size_t n) {
    const Way& way = others[n];
    Evaluator evaluator(data);
    found[way.index] =
        OneMachine(systems[way.index / recipes.size()], options_of(way.index), constraints, prices, evaluator)
            .repeat(way.nodes, way.options);
  });
  std::vector<Offer> offers;
  for (std::optional<Offer>& offer : found) {
    if (offer) offers.push_back(std::move(*offer));
  }
  std::stable_sort(offers.begin(), offers.end(),
                   [&](const Offer& a, const Offer& b) { return is_better(a, b, constraints); });
  return offers;
}

std::vector<std::size_t> best_offers(const std::vector<Offer>& offers, const Constraints& constraints) {
  std::vector<std::size_t> front;
  for (std::size_t i = 0; i < offers.size(); ++i) {
    const auto cost = offers[i].cost(constraints);
    if (!offers[i].fits() || !cost) continue;
    const bool beaten = std::any_of(offers.begin(), offers.end(), [&](const Offer& other) {
      const auto its = other.cost(constraints);
      return other.fits() && its && *its <= *cost && other.hours <= offers[i].hours &&
             (*its < *cost || other.hours < offers[i].hours);
    });
    if (!beaten) front.push_back(i);
  }
  std::sort(front.begin(), front.end(),
            [&](std::size_t a, std::size_t b) { return offers[a].hours < offers[b].hours; });
  return front;
}

std::vector<WhatIf> what_ifs(const Offer& offer, Evaluator& evaluator) {
  std::vector<WhatIf> answers;
  const auto add = [&](const std::string& change, const PointResult& result, std::size_t nodes) {
    WhatIf answer{change, result.figures.run_hours.value_or(0), {}, std::string(name_of(result.status))};
    if (offer.rent_usd && offer.hours > 0) {
      answer.cost_usd =
          *offer.rent_usd / offer.hours / static_cast<double>(offer.nodes) * static_cast<double>(nodes) * answer.hours;
    }
    answers.push_back(std::move(answer));
  };
  add("one more node", evaluator.evaluate(with(offer.options, "topology", named(offer.system, offer.nodes + 1))),
      offer.nodes + 1);
  const auto faster_links = [&](const std::string& change, std::initializer_list<LinkKind> kinds) {
    add(change,
        evaluator.evaluate(offer.options,
                           [&](Topology& topology) {
                             topology.links.alter([&](Link& link) {
                               if (std::find(kinds.begin(), kinds.end(), link.kind) != kinds.end())
                                 link.bandwidth = link.bandwidth * 2;
                             });
                           }),
        offer.nodes);
  };
  if (offer.nodes > 1) faster_links("a network twice as fast", {LinkKind::nic, LinkKind::network});
  faster_links("links between GPUs and host twice as fast", {LinkKind::nvlink, LinkKind::pcie, LinkKind::interconnect});
  add("twice the host RAM",
      evaluator.evaluate(
          with(offer.options, "host-memory",
               fmt::format("{}GiB", std::max<std::int64_t>(1, 2 * offer.result.figures.host_capacity_bytes >> 30)))),
      offer.nodes);
  return answers;
}

}  // namespace shardsim
