#include "sim/simulate.hpp"

#include <algorithm>
#include <cstdlib>

#include "model/core/check.hpp"
#include "model/core/error.hpp"
#include "sim/engine/engine.hpp"
#include "sim/plan/make_plan.hpp"
#include "sim/plan/runtime_defaults.hpp"
#include "sim/report/make_report.hpp"

namespace shardsim {

DataFolders find_data(const std::filesystem::path& program) {
  const auto folders = [](const std::filesystem::path& root) {
    return DataFolders{root / "model/zoo", root / "topologies", root / "tests/published"};
  };
  const auto exist = [](const DataFolders& data) {
    std::error_code ignored;  // a folder that may not be looked into is none
    return std::filesystem::is_directory(data.zoo, ignored) && std::filesystem::is_directory(data.topologies, ignored);
  };
  if (const char* chosen = std::getenv("SHARDSIM_DATA"); chosen != nullptr && *chosen != '\0') {
    const DataFolders data = folders(chosen);
    if (!exist(data))
      throw InputError("SHARDSIM_DATA names no data folder", chosen, "a folder with model/zoo and topologies in it");
    return data;
  }
  std::error_code ignored;
  const std::filesystem::path real = std::filesystem::canonical(program, ignored);
  const DataFolders installed = folders(real.parent_path().parent_path() / "share/shardsim");
  if (exist(installed)) return installed;
  const DataFolders source = folders(SHARDSIM_DATA_DIR);
  if (exist(source)) return source;
  throw InputError("the data files are missing", "model/zoo and topologies",
                   "an installed shardsim, or SHARDSIM_DATA set to the source tree");
}

Scenario load_scenario(const Request& request, const DataFolders& data) {
  return {load_topology(request.topology,
                        {request.gpu, request.host_memory, request.nvme, request.fabric, request.slow_gpus},
                        data.topologies),
          load_architecture(request.model, data.zoo), read_residuals(data.published / "residuals.csv")};
}

namespace {

/// CUDA moves managed memory to the host where a device has no room for it beside everything else.
bool evicts_managed_memory(const Plan& plan, const Outcome& outcome) {
  for (std::size_t p = 0; p < plan.programs.size(); ++p) {
    const Program& program = plan.programs[p];
    if (program.managed_bytes == 0) continue;
    if (program.used_bytes(outcome.programs[p].device.reserved) > program.capacity_bytes) return true;
  }
  return false;
}

}  // namespace

Report simulate(const Request& request, const DataFolders& data) {
  return simulate(request, load_scenario(request, data));
}

Report simulate(const Request& request, Scenario scenario) {
  return simulate_in_full(request, std::move(scenario)).report;
}

Simulation simulate_in_full(const Request& request, Scenario scenario) {
  Simulation made;
  made.topology = std::move(scenario.topology);
  made.request = with_runtime_defaults(request, made.topology, scenario.architecture, made.topology.assumptions);
  made.architecture = apply_adapter(std::move(scenario.architecture), made.request.peft);
  made.run = make_plan(made.request, made.topology, made.architecture);
  made.outcome = shardsim::run(made.run.plan);
  if (evicts_managed_memory(made.run.plan, made.outcome)) {
    made.run = make_plan(made.request, made.topology, made.architecture, Folding::on, PagedStates::on_host);
    made.outcome = shardsim::run(made.run.plan);
  }
  SHARDSIM_CHECK(made.outcome.deadlock.empty(), "no strategy's plan waits for itself");
  made.report = make_report(made.request, made.topology, made.architecture, made.run, made.outcome);
  made.report.ranges = ranges_of(scenario.residuals, made.request);
  return made;
}

const Architecture& Simulator::adapted(const Request& request, const Architecture& architecture) {
  constexpr std::size_t most = 8;
  const auto found = std::find_if(adapted_.begin(), adapted_.end(), [&](const Adapted& known) {
    return known.model == request.model && known.peft == request.peft;
  });
  if (found != adapted_.end()) {
    adapted_.splice(adapted_.begin(), adapted_, found);
  } else {
    adapted_.push_front({request.model, request.peft, apply_adapter(architecture, request.peft)});
    if (adapted_.size() > most) adapted_.pop_back();
  }
  return adapted_.front().architecture;
}

const PreparedPlan& Simulator::prepared(const PlanCache::Planned& planned) {
  const auto found = prepared_.find(planned.structure);
  if (found != prepared_.end()) return found->second;
  std::erase_if(prepared_, [&](const auto& known) { return !plans_.keeps(known.first); });
  return prepared_.emplace(planned.structure, prepare(planned.run.plan)).first->second;
}

Report Simulator::simulate(const Request& request, const std::string& machine, const Topology& named,
                           const Architecture& architecture) {
  Topology topology = named;
  const Request resolved = with_runtime_defaults(request, topology, architecture, topology.assumptions);
  // A device map's copies follow the batch, and paged states' place what else the device holds.
  if (resolved.kind == StrategyKind::device_map || is_paged(resolved.optimizer)) {
    return shardsim::simulate(request, {named, architecture});
  }
  const Architecture& trained = adapted(resolved, architecture);
  const PlanCache::Planned planned = plans_.plan(machine, resolved, topology, trained);
  const Outcome outcome = run(planned.run.plan, prepared(planned), memory_.get());
  SHARDSIM_CHECK(outcome.deadlock.empty(), "no strategy's plan waits for itself");
  return make_report(resolved, topology, trained, planned.run, outcome);
}

}  // namespace shardsim
