// Plans that are kept: a request that differs from an earlier one in batch and sequence alone gets the earlier plan
// with its own sizes and durations in it.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "model/graph_amounts.hpp"
#include "sim/plan/make_plan.hpp"

namespace shardsim {

/// One thread uses it. What it gives is, bit for bit, what make_plan() would record.
class PlanCache {
 public:
  /// A plan that stays as it is until the next call.
  struct Planned {
    const PlannedRun& run;
    std::uint64_t structure = 0;  ///< the same for plans that differ in sizes and durations alone
  };
  /// `request` as with_runtime_defaults() returned it, `architecture` with the request's adapters; `machine` is a text
  /// that no other topology has.
  Planned plan(const std::string& machine, const Request& request, const Topology& topology,
               const Architecture& architecture);
  /// False for a structure whose plan is not kept any more.
  bool keeps(std::uint64_t structure) const;

 private:
  struct Known {
    std::string machine;
    Request request;
    std::shared_ptr<const std::vector<std::uint32_t>> structure;
    PlannedRun run;
    std::size_t bytes = 0;
    std::uint64_t number = 0;
  };
  struct Sized {
    std::string model;
    Peft peft;
    GraphOptions options;
    std::shared_ptr<const std::vector<std::uint32_t>> structure;
    GraphAmounts amounts;
  };

  const Sized& sizes(const Request& request, const Architecture& architecture);
  void forget();

  std::list<Known> known_;  ///< last used first
  std::uint64_t planned_ = 0;
  std::list<Sized> sized_;  ///< likewise
};

}  // namespace shardsim
