#include "sim/plan/strategies/strategies.hpp"

#include <fmt/format.h>

#include <numeric>

#include "model/core/error.hpp"
#include "sim/plan/deepspeed.hpp"
#include "sim/plan/fsdp_units.hpp"

namespace shardsim {

DType weight_type(Precision precision) {
  if (precision == Precision::amp_bf16) return DType::f32;
  return compute_type(precision);
}

void allocate_weight(Recorder& recorder, const Parameter& parameter, DType otherwise) {
  if (!parameter.quantization) {
    recorder.allocate(Category::weights, parameter.stored_bytes(otherwise), parameter.name);
    return;
  }
  recorder.allocate(Category::weights, parameter.quantized().data, parameter.name);
  recorder.allocate(Category::weights, parameter.quantized().statistics, "quantization statistics");
}

DType gradient_type(Precision precision) { return weight_type(precision); }

bool takes_bf16_optimizer(const Request& request) {
  return request.kind == StrategyKind::zero1 && request.zero.grad_accum_type == DType::f32 &&
         request.precision == Precision::bf16_mixed && !request.offload.optimizer;
}

bool wraps_layers(const Request& request) {
  const bool is_peft_model = request.peft.any() && request.peft.kind != PeftKind::adapter;
  return !is_fsdp2(request.kind) || request.accelerate.empty() || !is_peft_model ||
         !is_transformers(request.implementation);
}

std::unique_ptr<Strategy> make_strategy(const StrategyContext& context) {
  switch (context.request.kind) {
    case StrategyKind::single:
      return make_single(context);
    case StrategyKind::ddp:
      return make_ddp(context);
    case StrategyKind::zero1:
    case StrategyKind::zero2:
      return takes_bf16_optimizer(context.request) ? make_bf16_optimizer(context) : make_zero12(context);
    case StrategyKind::zero3:
      return make_zero3(context);
    case StrategyKind::fsdp:
    case StrategyKind::fsdp_grad_op:
    case StrategyKind::hsdp:
      return make_fsdp2(context);
    case StrategyKind::device_map:
      return make_device_map(context);
    case StrategyKind::fsdp1:
    case StrategyKind::fsdp1_grad_op:
    case StrategyKind::fsdp1_hsdp:
      return make_fsdp1(context);
  }
  return nullptr;
}

std::vector<std::uint64_t> rank_roles(const Request& request, const Architecture& architecture, std::int64_t world) {
  std::vector<std::uint64_t> roles(static_cast<std::size_t>(world), 0);
  switch (request.kind) {
    case StrategyKind::zero1:
    case StrategyKind::zero2:
      for (std::int64_t rank = 0; rank < world; ++rank) {
        roles[static_cast<std::size_t>(rank)] = zero12_role(architecture, rank, world, grouping_of(request));
      }
      return roles;
    case StrategyKind::fsdp:
    case StrategyKind::fsdp_grad_op:
    case StrategyKind::hsdp:
      return fsdp_roles(architecture, world);
    case StrategyKind::device_map:
      std::iota(roles.begin(), roles.end(), std::uint64_t{0});
      return roles;
    default:
      return roles;
  }
}

std::int64_t data_parallel_ranks(const Request& request, std::int64_t world) {
  return request.kind == StrategyKind::device_map ? 1 : world;
}

void check_strategy(const Request& request, std::int64_t world, std::int64_t nodes) {
  if (request.kind == StrategyKind::single && world > 1) {
    throw InputError("strategy single trains on one GPU, the topology has " + std::to_string(world),
                     "--strategy single --topology " + request.topology,
                     "a topology of one GPU, or ddp, zero1, zero2, zero3 or fsdp for several");
  }
  if (is_fsdp1(request.kind) && world / (shards_within_nodes(request.kind) ? nodes : 1) == 1) {
    throw InputError("FSDP1 has one GPU to shard over, and so switches itself to NO_SHARD",
                     fmt::format("--strategy {} --topology {}", request.strategy, request.topology),
                     world == 1 ? "single, or a topology of several GPUs" : "fsdp1, or nodes of several GPUs");
  }
  if (is_fsdp1(request.kind) && request.offload.any() && request.pin_memory == false) {
    throw InputError("FSDP1 pins whatever it offloads", "--pin-memory off", "--pin-memory on, or fsdp-offload");
  }
}

}  // namespace shardsim
