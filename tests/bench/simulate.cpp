// How long one whole answer takes: Llama-2-7B on 8 GPUs, each of the five calls, and tasks, events and steps a second.
#include <cstdio>
#include <numeric>
#include <string>

#include "sim/engine/engine.hpp"
#include "sim/plan/make_plan.hpp"
#include "sim/plan/runtime_defaults.hpp"
#include "sim/report/make_report.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/simulate.hpp"
#include "tests/bench/stopwatch.hpp"

using namespace shardsim;

namespace {

void measure(const std::string& strategy, double calibration) {
  const DataFolders data{std::string(SHARDSIM_SOURCE) + "/model/zoo", std::string(SHARDSIM_SOURCE) + "/topologies"};
  const Request request = parse_request({"--topology", "8xA100", "--strategy", strategy, "--model", "llama-2-7b"});
  Scenario scenario = load_scenario(request, data);
  const Request resolved =
      with_runtime_defaults(request, scenario.topology, scenario.architecture, scenario.topology.assumptions);
  const PlannedRun planned = make_plan(resolved, scenario.topology, scenario.architecture);
  const Outcome outcome = run(planned.plan);
  const auto tasks =
      std::accumulate(planned.plan.programs.begin(), planned.plan.programs.end(), std::size_t{0},
                      [](std::size_t sum, const Program& program) { return sum + program.tasks.size(); });

  const double load = bench::median_ns([&] { load_scenario(request, data); });
  const double plan = bench::median_ns([&] { make_plan(resolved, scenario.topology, scenario.architecture); });
  const double engine = bench::median_ns([&] { run(planned.plan); });
  const double report = bench::median_ns(
      [&] { render_json(make_report(resolved, scenario.topology, scenario.architecture, planned, outcome)); });
  const double whole = load + plan + engine + report;
  std::printf("%-24s %8zu %9lld %7.2f %7.2f %7.2f %7.2f %8.2f %9.1f %8.1f %9.1f\n", strategy.c_str(), tasks,
              static_cast<long long>(outcome.events), load / 1e6, plan / 1e6, engine / 1e6, report / 1e6, whole / 1e6,
              planned.plan.steps * 1e9 / whole, engine / static_cast<double>(tasks),
              whole / static_cast<double>(tasks) / calibration);
}

}  // namespace

int main() {
  const double calibration = bench::calibrate();
  std::printf("calibration: %.1f ns a priority-queue pop and push; times in ms\n", calibration);
  std::printf("%-24s %8s %9s %7s %7s %7s %7s %8s %9s %8s %9s\n", "strategy", "tasks", "events", "load", "plan", "run",
              "report", "whole", "steps/s", "ns/task", "task/cal");
  for (const char* strategy :
       {"ddp", "zero1", "zero2", "zero2-offload", "zero3", "zero3-offload", "fsdp", "fsdp-offload"}) {
    measure(strategy, calibration);
  }
}
