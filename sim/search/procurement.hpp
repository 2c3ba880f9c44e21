// Which machine to buy or rent for a job: the candidates, each with the best way to run it, simulated.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/search/evaluate.hpp"
#include "sim/search/prices.hpp"

namespace shardsim {

struct Constraints {
  std::optional<double> hours;       ///< the run must end within them
  std::optional<double> budget_usd;  ///< of renting, or of the share of buying
  std::optional<double> watts;       ///< of the whole machine at work
  std::optional<double> rack_units;  ///< that it may take
  bool rent = true, buy = true;
  std::vector<std::string> devices;  ///< parts of device names; empty: all
  std::size_t most_nodes = 64;
  double years = 3;  ///< that a bought machine is written off over
  double usd_per_kWh = 0.12;
};

/// One machine and how it runs the job best.
struct Offer {
  std::string system;  ///< "dgx-h100"
  std::string gpu;
  std::size_t nodes = 1;
  std::size_t gpus = 0;
  OptionTexts options;  ///< the whole request
  PointResult result;
  double hours = 0, energy_kWh = 0, watts = 0;
  bool power_assumed = false;       ///< the hosts' share of it
  double rack_units = 0;            ///< 0: nobody says
  Price price;                      ///< of one node
  std::optional<double> rent_usd;   ///< of the run
  std::optional<double> own_usd;    ///< of the run: its share of the purchase over the years, and electricity
  std::optional<double> buy_usd;    ///< the purchase
  std::vector<std::string> misses;  ///< the constraints that it breaks; empty: none
  bool fits() const { return result.status == PointStatus::fits; }
  /// What the run costs to rent or, where only buying is wanted, as its share of owning; absent: nobody knows.
  std::optional<double> cost(const Constraints& constraints) const;
};

/// Calls the piece of work for each index, on as many threads as there are.
using ForEach = std::function<void(std::size_t count, const std::function<void(std::size_t)>& work)>;

/// The processes that share the search; one alone by default.
struct Team {
  std::size_t rank = 0, size = 1;
  /// What each rank says, on rank 0; nothing on the others.
  std::function<std::vector<std::string>(const std::string&)> gather = [](const std::string& text) {
    return std::vector<std::string>{text};
  };
};

/// An offer for each of `systems` and each of `recipes` (options laid over `job`), the best first: what meets the
/// constraints by cost, then by time; then what fits; then what does not. `job` has the model and the length of the
/// run; a strategy in it is kept, else the best is searched for, as are checkpointing, micro-batch and number of nodes.
/// Ranks but 0 do their share and return nothing.
std::vector<Offer> find_offers(const OptionTexts& job, const std::vector<OptionTexts>& recipes,
                               const std::vector<std::string>& systems, const Constraints& constraints,
                               const PriceList& prices, const DataFolders& data, const ForEach& for_each,
                               const Team& team = {});

/// Which offers no other beats in both hours and cost.
std::vector<std::size_t> best_offers(const std::vector<Offer>& offers, const Constraints& constraints);

/// What a change of the machine would give: "one more node: 12.3 h instead of 21.0 h".
struct WhatIf {
  std::string change;
  double hours = 0;
  std::optional<double> cost_usd;
  std::string status;  ///< as name_of(PointStatus)
};
std::vector<WhatIf> what_ifs(const Offer& offer, Evaluator& evaluator);

}  // namespace shardsim
