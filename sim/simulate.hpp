// The five calls: Request -> Scenario -> Plan -> Outcome -> Report.
#pragma once

#include <filesystem>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "model/architecture.hpp"
#include "sim/engine/engine.hpp"
#include "sim/engine/memory_cache.hpp"
#include "sim/engine/outcome.hpp"
#include "sim/plan/make_plan.hpp"
#include "sim/plan/plan_cache.hpp"
#include "sim/report/report.hpp"
#include "sim/request/request.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

/// Where the data files lie: $SHARDSIM_DATA, else beside the installed program, else the source tree.
struct DataFolders {
  std::filesystem::path zoo;             ///< model/zoo
  std::filesystem::path topologies;      ///< topologies, with devices/ in it
  std::filesystem::path published = {};  ///< tests/published: measured runs; need not be there
};
DataFolders find_data(const std::filesystem::path& program);

/// What the request's names stand for.
struct Scenario {
  Topology topology;
  Architecture architecture;
  Residuals residuals = {};  ///< of the published runs; none: predictions have no range
};
Scenario load_scenario(const Request& request, const DataFolders& data);

/// Everything, for every verb. Throws InputError for a request that makes no sense on this machine.
Report simulate(const Request& request, const DataFolders& data);
/// The same for a scenario that is at hand.
Report simulate(const Request& request, Scenario scenario);

/// A simulation with all that led to its report.
struct Simulation {
  Request request;  ///< resolved
  Topology topology;
  Architecture architecture;  ///< with its adapters
  PlannedRun run;
  Outcome outcome;
  Report report;
};
Simulation simulate_in_full(const Request& request, Scenario scenario);

/// Simulates one request after the other and keeps what they share; each report is what simulate() says. One thread
/// uses it.
class Simulator {
 public:
  /// `memory` may be shared with others.
  explicit Simulator(std::shared_ptr<MemoryCache> memory) : memory_(std::move(memory)) {}
  /// `machine` is a text that no other topology has.
  Report simulate(const Request& request, const std::string& machine, const Topology& topology,
                  const Architecture& architecture);

 private:
  struct Adapted {
    std::string model;
    Peft peft;
    Architecture architecture;
  };
  const PreparedPlan& prepared(const PlanCache::Planned& planned);
  const Architecture& adapted(const Request& request, const Architecture& architecture);

  std::shared_ptr<MemoryCache> memory_;
  PlanCache plans_;
  std::list<Adapted> adapted_;                                ///< last used first
  std::unordered_map<std::uint64_t, PreparedPlan> prepared_;  ///< by PlanCache::Planned::structure
};

}  // namespace shardsim
