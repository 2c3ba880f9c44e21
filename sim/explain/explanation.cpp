#include "sim/explain/explanation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "sim/cost/kernel_time.hpp"
#include "sim/explain/arithmetic.hpp"
#include "sim/report/notation.hpp"
#include "sim/report/phases.hpp"

namespace shardsim {

namespace {

constexpr std::size_t most_largest = 20;

/// Equal tensors of one program, collected over its instructions.
struct Life {
  std::int64_t count = 0;
  std::int32_t first_layer = -1, last_layer = -1;
  std::uint32_t since = 0;
  std::optional<std::uint32_t> until;
  bool stays = false;
};

std::size_t fullest_program(const Simulation& simulation) {
  const auto& programs = simulation.outcome.programs;
  const auto fuller = [](const ProgramOutcome& a, const ProgramOutcome& b) {
    return a.device.allocated < b.device.allocated;
  };
  return static_cast<std::size_t>(std::max_element(programs.begin(), programs.end(), fuller) - programs.begin());
}

class Memory {
 public:
  Memory(const Simulation& simulation, std::size_t index)
      : plan_(simulation.run.plan),
        program_(plan_.programs[index]),
        peak_(simulation.outcome.programs[index].device),
        arithmetic_(simulation.request, simulation.architecture, simulation.report.ranks,
                    simulation.report.ranks / std::max<std::int64_t>(1, simulation.report.nodes)) {}

  std::vector<CategoryExplanation> explain() {
    collect();
    std::vector<CategoryExplanation> categories;
    for (std::size_t c = 0; c < category_count; ++c) {
      if (peak_.by_category[c] == 0) continue;
      CategoryExplanation entry;
      entry.category = static_cast<Category>(c);
      entry.bytes = peak_.by_category[c];
      entry.rounding = entry.bytes;
      for (const auto& [key, life] : lives_) {
        if (std::get<0>(key) != entry.category) continue;
        entry.groups.push_back(group(key, life));
        entry.rounding -= entry.groups.back().bytes();
      }
      entry.arithmetic = arithmetic_.of_all(entry.category, entry.bytes - entry.rounding);
      std::stable_sort(entry.groups.begin(), entry.groups.end(),
                       [](const TensorGroup& a, const TensorGroup& b) { return a.bytes() > b.bytes(); });
      categories.push_back(std::move(entry));
    }
    return categories;
  }

 private:
  using Key = std::tuple<Category, std::uint32_t, std::int64_t>;  ///< category, label, bytes

  /// What is live at the peak, and when each of it is made and goes.
  void collect() {
    std::vector<std::optional<std::uint32_t>> made(program_.tensors.size());
    std::uint32_t mark = 0;
    for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
      const Instruction instruction = program_.instructions[i];
      if (instruction.kind == Instruction::Kind::mark) mark = instruction.index;
      const bool allocates = instruction.kind == Instruction::Kind::allocate;
      if (!allocates && instruction.kind != Instruction::Kind::release) continue;
      const Tensor& tensor = program_.tensors[instruction.index];
      if (tensor.pool != Pool::device) continue;
      if (allocates && i <= peak_.instruction) made[instruction.index] = mark;
      if (allocates || !made[instruction.index]) continue;
      if (i > peak_.instruction) note(tensor, *made[instruction.index], mark);
      made[instruction.index].reset();
    }
    for (std::size_t t = 0; t < made.size(); ++t) {
      if (made[t]) note(program_.tensors[t], *made[t], std::nullopt);
    }
  }

  void note(const Tensor& tensor, std::uint32_t since, std::optional<std::uint32_t> until) {
    Life& life = lives_[{tensor.category, static_cast<std::uint32_t>(tensor.label.index()), tensor.bytes}];
    if (life.count++ == 0) life.since = since, life.first_layer = tensor.layer;
    life.since = std::min(life.since, since);
    if (tensor.layer >= 0) {
      life.first_layer = life.first_layer < 0 ? tensor.layer : std::min(life.first_layer, tensor.layer);
      life.last_layer = std::max(life.last_layer, tensor.layer);
    }
    if (!until) life.stays = true;
    if (until) life.until = std::max(life.until.value_or(0), *until);
  }

  TensorGroup group(const Key& key, const Life& life) const {
    TensorGroup made;
    made.name = plan_.labels[std::get<1>(key)];
    made.count = life.count;
    made.bytes_each = std::get<2>(key);
    made.arithmetic = arithmetic_.of(std::get<0>(key), made.bytes_each);
    if (life.first_layer >= 0) {
      made.layers = life.first_layer == life.last_layer
                        ? fmt::format("layer {}", life.first_layer)
                        : fmt::format("layers {} to {}", life.first_layer, life.last_layer);
    }
    made.since = describe(plan_, program_.marks[life.since]);
    if (!life.stays && life.until) made.until = describe(plan_, program_.marks[*life.until]);
    return made;
  }

  const Plan& plan_;
  const Program& program_;
  const PoolPeak& peak_;
  Arithmetic arithmetic_;
  std::map<Key, Life> lives_;
};

/// The rules that people teach, with what they leave out.
void add_rule(CategoryExplanation& entry, const Simulation& simulation) {
  const double parameters = static_cast<double>(simulation.architecture.parameter_count());
  const double trained = static_cast<double>(simulation.architecture.trainable_count());
  const Request& request = simulation.request;
  const auto rule = [&](double bytes, std::string text, std::string why, std::string source) {
    entry.rule_bytes = bytes;
    entry.rule = std::move(text);
    entry.why = std::move(why);
    entry.source = std::move(source);
  };
  switch (entry.category) {
    case Category::weights:
      return rule(
          2 * parameters, fmt::format("{} parameters x 2 B", count_text(parameters)),
          "the rule counts the whole model in 16 bits; sharding divides it, quantization and fp32 change the 2, and "
          "weights that are gathered for a moment count as gathered",
          "Rajbhandari et al. 2020, ZeRO, section 3.1");
    case Category::master_weights:
      return rule(4 * trained, fmt::format("{} trained x 4 B", count_text(trained)),
                  "an fp32 copy of what is trained, where the optimizer keeps one, divided by the ranks that shard it",
                  "Rajbhandari et al. 2020, ZeRO, section 3.1");
    case Category::gradients:
      return rule(2 * trained, fmt::format("{} trained x 2 B", count_text(trained)),
                  "at the peak not every gradient is there: some are not computed yet, some are reduced and gone; some "
                  "runtimes hold an fp32 copy",
                  "Rajbhandari et al. 2020, ZeRO, section 3.1");
    case Category::optimizer:
      return rule(
          8 * trained, fmt::format("{} trained x 8 B", count_text(trained)),
          "Adam's two moments in fp32; other optimizers keep less, states appear in the first step and are sharded "
          "with the weights that they belong to",
          "Rajbhandari et al. 2020, ZeRO, section 3.1");
    case Category::activations: {
      const double tokens = static_cast<double>(request.micro_batch * request.seq_len);
      const double bytes =
          tokens * static_cast<double>(simulation.architecture.dims.hidden * simulation.architecture.dims.layers) * 2;
      return rule(bytes,
                  fmt::format("{} x {} tokens x {} hidden x {} layers x 2 B", request.micro_batch, request.seq_len,
                              simulation.architecture.dims.hidden, simulation.architecture.dims.layers),
                  "one tensor a layer is what full checkpointing keeps; without it autograd keeps what each operator "
                  "needs for its backward",
                  "Korthikanti et al. 2022, Reducing Activation Recomputation");
    }
    case Category::logits: {
      const double tokens = static_cast<double>(request.micro_batch * request.seq_len);
      return rule(2 * tokens * static_cast<double>(simulation.architecture.dims.vocab),
                  fmt::format("{} x {} tokens x {} vocabulary x 2 B", request.micro_batch, request.seq_len,
                              simulation.architecture.dims.vocab),
                  "the head's output once in 16 bits; an eager loss adds fp32 copies, its result and the gradient",
                  "transformers, loss/loss_utils.py");
    }
    case Category::gathered:
    case Category::buffers:
    case Category::workspace:
      entry.why =
          "no rule of thumb counts these: full weights while they are used, communication buckets, kernels' scratch";
      return;
  }
}

std::string phase_name(Phase phase) {
  switch (phase) {
    case Phase::load:
      return "load";
    case Phase::forward:
      return "forward";
    case Phase::backward:
      return "backward";
    case Phase::optimizer:
      return "optimizer";
    case Phase::save:
      return "save";
  }
  return "";
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
    group.phase = phase_name(task.phase);
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
  explanation.memory = Memory(simulation, fullest).explain();
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
