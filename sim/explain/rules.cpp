#include "sim/explain/rules.hpp"

#include <fmt/format.h>

#include "model/optimizer.hpp"
#include "sim/report/notation.hpp"

namespace shardsim {

namespace {

void set_rule(CategoryExplanation& entry, const Simulation& simulation) {
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

std::string allocates_weights(const Request& request) {
  if (is_fsdp2(request.kind))
    return "torch/distributed/fsdp/_fully_shard/_fsdp_param.py: dim 0 in equal pieces, padded";
  if (is_fsdp1(request.kind))
    return "torch/distributed/fsdp/_flat_param.py: a unit's parameters end to end, in equal pieces";
  if (request.kind == StrategyKind::zero3) {
    return "deepspeed/runtime/zero/partition_parameters.py: each parameter in equal pieces, rounded up";
  }
  if (request.kind == StrategyKind::device_map) return "accelerate/utils/modeling.py, infer_auto_device_map";
  return "the modules' parameters, whole on every rank";
}

std::string allocates_gradients(const Request& request) {
  if (is_fsdp2(request.kind)) return "torch/distributed/fsdp/_fully_shard/_fsdp_collectives.py, foreach_reduce";
  if (is_fsdp1(request.kind)) return "torch/distributed/fsdp/_runtime_utils.py, _reduce_grad";
  switch (request.kind) {
    case StrategyKind::zero1:
    case StrategyKind::zero2:
      return "deepspeed/runtime/zero/stage_1_and_2.py, averaged_gradients";
    case StrategyKind::zero3:
      return "deepspeed/runtime/zero/stage3.py, partition_grads";
    case StrategyKind::ddp:
      return "torch/csrc/distributed/c10d/reducer.cpp";
    default:
      return "torch/csrc/autograd/functions/accumulate_grad.cpp";
  }
}

std::string allocates_states(const Request& request) {
  if (request.optimizer == OptimizerKind::adafactor) return "transformers/optimization.py, Adafactor";
  if (request.offload.optimizer && is_zero(request.kind)) return "deepspeed/ops/adam/cpu_adam.py";
  if (is_bitsandbytes(request.optimizer)) return "bitsandbytes/optim/optimizer.py";
  return "torch/optim";
}

std::string allocates(Category category, const Request& request) {
  switch (category) {
    case Category::weights:
      return allocates_weights(request);
    case Category::master_weights:
      if (request.kind == StrategyKind::zero3) return "deepspeed/runtime/zero/stage3.py, fp32_partitioned_groups_flat";
      if (is_zero(request.kind)) return "deepspeed/runtime/zero/stage_1_and_2.py, single_partition_of_fp32_groups";
      return "the optimizer's fp32 copy of 16-bit weights";
    case Category::gradients:
      return allocates_gradients(request);
    case Category::optimizer:
      return allocates_states(request);
    case Category::activations:
      return "what autograd saves for each operator of transformers' modules, torch/csrc/autograd";
    case Category::logits:
      return "transformers/loss/loss_utils.py and the head";
    case Category::gathered:
      if (is_fsdp2(request.kind)) return "torch/distributed/fsdp/_fully_shard/_fsdp_collectives.py, foreach_all_gather";
      if (is_fsdp1(request.kind)) return "torch/distributed/fsdp/_flat_param.py, unshard";
      return "deepspeed/runtime/zero/partitioned_param_coordinator.py";
    case Category::buffers:
      return "the runtime's communication buckets and the modules' buffers";
    case Category::workspace:
      return "aten/src/ATen/cuda/CublasHandlePool.cpp and the kernels' scratch";
  }
  return "";
}

}  // namespace

void add_rule(CategoryExplanation& entry, const Simulation& simulation) {
  set_rule(entry, simulation);
  entry.allocated_by = allocates(entry.category, simulation.request);
}

void add_host_rule(HostExplanation& host, const Simulation& simulation) {
  const Request& request = simulation.request;
  if (!is_zero(request.kind) || !request.offload.optimizer || request.offload.optimizer_on_nvme) return;
  constexpr double buffers = 1.5;
  const int each = request.offload.parameters ? 18 : 16;
  const double parameters = static_cast<double>(simulation.architecture.parameter_count());
  const double nodes = static_cast<double>(simulation.report.nodes);
  host.rule_bytes = parameters * each * buffers / nodes;
  host.rule = fmt::format("{} parameters x {} B x 1.5{}", count_text(parameters), each,
                          nodes > 1 ? fmt::format(" / {:.0f} nodes", nodes) : "");
  host.source = "DeepSpeed, estimate_zero3_model_states_mem_needs";
  host.why =
      "its 1.5 stands for what it does not count: pinned blocks are powers of two, and gradients and staging have "
      "their own";
}

}  // namespace shardsim
