#include "sim/explain/explanation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "sim/cost/kernel_time.hpp"
#include "sim/explain/arithmetic.hpp"
#include "sim/explain/live_tensors.hpp"
#include "sim/explain/rules.hpp"
#include "sim/report/notation.hpp"
#include "sim/report/phases.hpp"

namespace shardsim {

namespace {

constexpr std::size_t most_largest = 20;

std::size_t fullest_program(const Simulation& simulation) {
  const auto& programs = simulation.outcome.programs;
  const auto fuller = [](const ProgramOutcome& a, const ProgramOutcome& b) {
    return a.device.allocated < b.device.allocated;
  };
  return static_cast<std::size_t>(std::max_element(programs.begin(), programs.end(), fuller) - programs.begin());
}

Arithmetic arithmetic_of(const Simulation& simulation) {
  return {simulation.request, simulation.architecture, simulation.report.ranks,
          simulation.report.ranks / std::max<std::int64_t>(1, simulation.report.nodes)};
}

std::vector<CategoryExplanation> device_memory(const Simulation& simulation, std::size_t index) {
  const PoolPeak& peak = simulation.outcome.programs[index].device;
  LiveTensors live(simulation.run.plan, {Pool::device});
  live.add(simulation.run.plan.programs[index], peak.instruction, 1);
  return live.explain(peak.by_category, arithmetic_of(simulation));
}

std::vector<HostExplanation> host_memory(const Simulation& simulation) {
  const Plan& plan = simulation.run.plan;
  std::vector<HostExplanation> hosts;
  for (std::size_t h = 0; h < plan.host_classes.size(); ++h) {
    const HostOutcome& outcome = simulation.outcome.hosts[h];
    if (outcome.peak == 0) continue;
    HostExplanation host;
    host.id = plan.host_classes[h].id;
    host.count = plan.host_classes[h].count;
    host.bytes = outcome.peak;
    host.pinned = outcome.pinned_at_peak;
    LiveTensors live(plan, {Pool::pinned, Pool::pageable});
    std::size_t share = 0;
    for (const Program& program : plan.programs) {
      if (program.host_class != h) continue;
      if (const auto& reached = outcome.at_peak[share++]) live.add(program, *reached, program.ranks_per_host);
    }
    host.memory = live.explain(outcome.by_category, arithmetic_of(simulation));
    for (CategoryExplanation& entry : host.memory) add_rule(entry, simulation);
    add_host_rule(host, simulation);
    hosts.push_back(std::move(host));
  }
  return hosts;
}

std::vector<WorkGroup> work_of(const Simulation& simulation) {
  const Plan& plan = simulation.run.plan;
  const Program& program = plan.programs[simulation.outcome.slowest];
  const ProgramOutcome& outcome = simulation.outcome.programs[simulation.outcome.slowest];
  std::map<std::tuple<Phase, std::string, std::size_t>, WorkGroup> groups;
  for (std::size_t t = 0; t < program.tasks.size(); ++t) {
    const Task& task = program.tasks[t];
    if (task.step + 1 != plan.steps || task.phase == Phase::load || task.phase == Phase::save) continue;
    const Span& span = outcome.spans[t];
    if (span.start == never || span.end == never) continue;
    WorkGroup& group = groups[{task.phase, plan.labels[task.label.index()], task.stream.index()}];
    group.phase = task.phase;
    group.name = plan.labels[task.label.index()];
    group.stream = program.streams[task.stream.index()];
    ++group.count;
    group.seconds += (span.end - span.start).seconds();
  }
  std::vector<WorkGroup> work;
  for (auto& [key, group] : groups) work.push_back(std::move(group));
  std::stable_sort(work.begin(), work.end(),
                   [](const WorkGroup& a, const WorkGroup& b) { return a.seconds > b.seconds; });
  return work;
}

/// The same step on a machine of which one thing is twice as fast.
std::vector<Doubled> doubled(const Request& request, const Scenario& scenario) {
  std::vector<Doubled> answers;
  const auto ask = [&](const std::string& what, const auto& alter) {
    Scenario faster = scenario;
    alter(faster.topology);
    answers.push_back({what, simulate(request, std::move(faster)).step.time_s});
  };
  const auto links = [](Topology& topology, std::initializer_list<LinkKind> kinds) {
    topology.links.alter([&](Link& link) {
      if (std::find(kinds.begin(), kinds.end(), link.kind) != kinds.end()) link.bandwidth = link.bandwidth * 2;
    });
  };
  ask("the GPUs' arithmetic", [](Topology& topology) {
    topology.devices.alter([](Device& device) {
      for (FlopRate* rate : {&device.spec.matmul_f32, &device.spec.matmul_16bit, &device.spec.matmul_f8}) {
        rate->flops_per_second *= 2;
      }
    });
  });
  ask("the GPUs' memory", [](Topology& topology) {
    topology.devices.alter([](Device& device) { device.spec.memory_bandwidth = device.spec.memory_bandwidth * 2; });
  });
  if (scenario.topology.devices.size() > 1) ask("NVLink", [&](Topology& t) { links(t, {LinkKind::nvlink}); });
  ask("PCIe and the sockets' interconnect", [&](Topology& t) { links(t, {LinkKind::pcie, LinkKind::interconnect}); });
  ask("host memory", [&](Topology& t) { links(t, {LinkKind::memory}); });
  if (scenario.topology.hosts.size() > 1)
    ask("the network", [&](Topology& t) { links(t, {LinkKind::nic, LinkKind::network}); });
  return answers;
}

}  // namespace

Explanation explain(const Request& request, const Scenario& scenario) {
  const Simulation simulation = simulate_in_full(request, scenario);
  Explanation explanation;
  explanation.report = simulation.report;
  const std::size_t fullest = fullest_program(simulation);
  const PoolPeak& peak = simulation.outcome.programs[fullest].device;
  explanation.peak_at = describe(simulation.run.plan, simulation.run.plan.programs[fullest].marks[peak.mark]);
  explanation.memory = device_memory(simulation, fullest);
  explanation.hosts = host_memory(simulation);
  for (CategoryExplanation& entry : explanation.memory) {
    add_rule(entry, simulation);
    explanation.largest.insert(explanation.largest.end(), entry.groups.begin(), entry.groups.end());
  }
  std::stable_sort(explanation.largest.begin(), explanation.largest.end(),
                   [](const TensorGroup& a, const TensorGroup& b) { return a.bytes_each > b.bytes_each; });
  if (explanation.largest.size() > most_largest) explanation.largest.resize(most_largest);
  explanation.work = work_of(simulation);
  double rate = 0;
  for (const Device& device : simulation.topology.devices) {
    rate += matmul_peak(device.spec, compute_type(simulation.request.precision)).flops_per_second;
  }
  const double parameters = static_cast<double>(simulation.architecture.active_parameter_count());
  const double tokens = static_cast<double>(simulation.report.step.tokens);
  if (rate > 0) {
    explanation.time_rule_s = 6 * parameters * tokens / rate;
    explanation.time_rule = fmt::format("6 x {} parameters x {} tokens / {:.4g} TFLOP/s", count_text(parameters),
                                        grouped_digits(tokens), rate / 1e12);
  }
  explanation.doubled = doubled(request, scenario);
  return explanation;
}

}  // namespace shardsim
