#include "sim/plan/make_plan.hpp"

#include <algorithm>
#include <array>

#include "sim/plan/adapter_defaults.hpp"
#include "sim/plan/autograd.hpp"
#include "sim/plan/load.hpp"
#include "sim/plan/runtime_defaults.hpp"
#include "sim/plan/save.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

constexpr std::uint16_t simulated_steps = 2;
/// Up to this many ranks each is planned by itself where ranks own different slices.
constexpr std::int64_t ranks_planned_apart = 16;
constexpr std::uint64_t rank_0_role = ~std::uint64_t{0};

std::vector<std::uint64_t> roles_of(const Request& request, const Architecture& architecture, const Communicator& shard,
                                    std::size_t devices, Plan& plan) {
  std::vector<std::uint64_t> of_rank;
  const bool zero12 = request.kind == StrategyKind::zero1 || request.kind == StrategyKind::zero2;
  if (shard.ranks > ranks_planned_apart && zero12) {
    // Rank 0 starts with the embedding, the largest tensor that any rank owns a slice of; the others own layers.
    of_rank.assign(static_cast<std::size_t>(shard.ranks), 1);
    of_rank.front() = 0;
    plan.assumptions.push_back(
        "ranks own different slices of the model: rank 0 and rank 1 are simulated, rank 1 for all others");
  } else {
    of_rank = rank_roles(request, architecture, shard.ranks);
  }
  std::vector<std::uint64_t> roles;
  for (std::size_t device = 0; device < devices; ++device) {
    roles.push_back(of_rank[static_cast<std::size_t>(shard.rank_of(DeviceId(device)))]);
  }
  // Any number that no other rank has.
  if (loads_on_rank_0(request) || request.save != SaveKind::none) roles.front() = rank_0_role;
  return roles;
}

bool uses_storage(const Request& request) { return request.save != SaveKind::none || request.offload.on_nvme(); }

void record_step(const Request& request, std::uint16_t step, Recorder& recorder, Strategy& strategy,
                 Autograd& autograd) {
  recorder.begin_step(step);
  for (std::int64_t micro_step = 0; micro_step < request.grad_accum; ++micro_step) {
    const bool boundary = micro_step + 1 == request.grad_accum;
    recorder.mark(Phase::forward, -1, "begin");
    strategy.begin_forward(micro_step, boundary);
    autograd.forward();
    autograd.backward();
    strategy.end_backward();
  }
  recorder.mark(Phase::optimizer, -1, "optimizer step");
  strategy.optimizer_step();
}

void describe_paged_states(const Request& request, PagedStates paged, Plan& plan) {
  if (!is_paged(request.optimizer)) return;
  plan.assumptions.push_back(
      paged == PagedStates::on_device
          ? "the paged optimizer states find room on the device; they are not in PyTorch's allocated bytes, but in use"
          : "the paged optimizer states find no room on the device: all of them lie in host memory, and each step "
            "moves "
            "them over PCIe both ways, at the speed of pinned copies (assumed)");
}

}  // namespace

GraphOptions graph_options(const Request& request) {
  GraphOptions options;
  options.micro_batch = request.micro_batch;
  options.seq_len = request.seq_len + request.peft.prompt_length();
  options.virtual_tokens = request.peft.prompt_length();
  options.precision = request.precision;
  options.attention = request.attention;
  options.loss = request.loss;
  options.transformers = request.transformers;
  options.keeps_outputs = request.keep_outputs;
  options.implementation = request.implementation;
  options.adapter_dropout = request.peft.dropout;
  options.autocast = trainer_autocasts(request);
  options.converts_outputs = accelerate_converts_outputs(request);
  options.input_requires_gradient =
      request.peft.any() && (request.checkpointing != Checkpointing::none || request.peft.kbit_upcast.value_or(false));
  options.compile = request.compile;
  return options;
}

PlannedRun make_plan(const Request& request, const Topology& topology, const Architecture& architecture,
                     Folding folding, PagedStates paged) {
  PlannedRun run;
  Plan& plan = run.plan;
  plan.steps = simulated_steps;
  plan.assumptions.push_back(describe_load(request));
  describe_paged_states(request, paged, plan);
  const ProcessGroups groups = process_groups(topology, shards_within_nodes(request.kind));
  const std::vector<std::uint64_t> roles = roles_of(request, architecture, groups.shard, topology.devices.size(), plan);
  const std::array rings{groups.shard.all_rings(), groups.replicate.all_rings()};
  const bool folds = folding == Folding::on && request.kind != StrategyKind::device_map;
  run.fold = folds ? fold_devices(topology, roles, rings, uses_storage(request)) : unfolded(topology);
  const Fold& fold = run.fold;
  Cluster cluster(topology, fold, groups, plan);
  const Graph graph = build_graph(architecture, graph_options(request));
  const Recomputation recomputation = plan_recomputation(request, architecture, graph);

  for (std::size_t c = 0; c < fold.devices.size(); ++c) {
    Recorder recorder(cluster, DeviceClassId(c), plan);
    recorder.use_expandable_segments(request.allocator == AllocatorKind::expandable);
    const StrategyContext context{request, architecture, graph, recorder, paged};
    const std::unique_ptr<Strategy> strategy = make_strategy(context);
    // cuBLAS keeps one workspace for the forward thread and one for autograd's.
    recorder.allocate(Category::workspace, recorder.device().spec.cublas_workspace.value(), "cublas workspace");
    recorder.allocate(Category::workspace, recorder.device().spec.cublas_workspace.value(), "cublas workspace");
    recorder.allocate(Category::buffers, architecture.buffer_bytes(), "model buffers");
    record_load(context, *strategy);
    Autograd autograd(architecture, graph, recomputation, gradient_type(request.precision), recorder, *strategy);
    for (std::uint16_t step = 0; step < simulated_steps; ++step) {
      record_step(request, step, recorder, *strategy, autograd);
    }
    record_save(context);
    run.executed_flops = recorder.executed_flops() / simulated_steps;
    run.recomputed_flops = autograd.recomputed_flops() / simulated_steps;
    run.provenance.push_back(recorder.take_provenance());
    plan.programs.push_back(recorder.take());
  }
  return run;
}

}  // namespace shardsim
