#include "sim/plan/runtime_defaults.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "model/core/error.hpp"
#include "sim/plan/device_map.hpp"
#include "sim/plan/nvme_swap.hpp"
#include "sim/plan/save.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

// Every micro-step is simulated, so a step of a million of them would be a plan of billions of tasks.
constexpr std::int64_t most_layer_passes = 2'000'000;

bool is_fsdp(const Request& request) {
  return request.kind == StrategyKind::fsdp || request.kind == StrategyKind::fsdp_grad_op;
}

void choose_reduce_type(Request& request, std::vector<std::string>& assumptions) {
  const DType gradients = gradient_type(request.precision);
  if (request.reduce_dtype) {
    if (!is_fsdp(request) && *request.reduce_dtype != gradients) {
      throw InputError(fmt::format("{} reduces gradients in their own type, {}", request.strategy, name_of(gradients)),
                       "--reduce-dtype", fmt::format("{}, or an fsdp strategy", name_of(gradients)));
    }
    return;
  }
  request.reduce_dtype = gradients;
  if (!is_fsdp(request) || !keeps_master_weights(request.precision)) return;
  request.reduce_dtype = DType::f32;
  assumptions.push_back(
      "gradients are reduced in fp32, as torchtitan does; accelerate reduces in 16 bits: --reduce-dtype bf16");
}

void choose_seq_len(Request& request, const Architecture& architecture, std::vector<std::string>& assumptions) {
  const Dimensions& dims = architecture.dims;
  if (request.seq_len_given || !dims.learned_positions || request.seq_len <= dims.max_positions) return;
  request.seq_len = dims.max_positions;
  assumptions.push_back(
      fmt::format("--seq-len is {}: {} has learned positions for no more", dims.max_positions, architecture.name));
}

// Sizes are 64-bit: what a step touches must stay far below that, or a product would wrap.
void check_size(const Request& request, const Architecture& architecture) {
  const Dimensions& d = architecture.dims;
  const auto sum = [](auto... terms) { return (static_cast<double>(terms) + ...); };
  const double scores = request.attention == AttentionKind::eager
                            ? static_cast<double>(d.heads) * static_cast<double>(request.seq_len)
                            : 0;
  const double per_token =
      sum(d.vocab) + static_cast<double>(d.layers) * (sum(d.hidden, d.ffn, d.q(), d.kv()) + scores);
  const double tokens = static_cast<double>(request.seq_len) * static_cast<double>(request.micro_batch);
  if (tokens * per_token < 1e16) return;
  throw InputError(fmt::format("a micro-batch of {} x {} tokens is too large to count its bytes", request.micro_batch,
                               request.seq_len),
                   "--micro-batch, --seq-len", "fewer tokens on a device at once");
}

void describe_device_map(const Request& request, const Topology& topology, const Architecture& architecture,
                         std::vector<std::string>& assumptions) {
  const DeviceMap map = map_devices(request, topology, architecture);
  std::vector<std::int64_t> layers(topology.devices.size());
  for (const ModuleId layer : architecture.layer_modules()) ++layers[static_cast<std::size_t>(map.device[layer.index()])];
  assumptions.push_back(
      fmt::format("device_map=\"auto\" puts {} decoder layers on the GPUs, in order", fmt::join(layers, " + ")));
}

}  // namespace

Request with_runtime_defaults(Request request, const Topology& topology, const Architecture& architecture,
                              std::vector<std::string>& assumptions) {
  check_strategy(request, static_cast<std::int64_t>(topology.devices.size()));
  check_save(request);
  check_nvme(request, topology, architecture, assumptions);
  if (request.grad_accum > most_layer_passes / std::max<std::int64_t>(1, architecture.dims.layers)) {
    throw InputError(
        fmt::format("{} micro-steps of {} layers are too many to simulate one by one", request.grad_accum,
                    architecture.dims.layers),
        "--grad-accum",
        fmt::format("at most {}", most_layer_passes / std::max<std::int64_t>(1, architecture.dims.layers)));
  }
  choose_reduce_type(request, assumptions);
  choose_seq_len(request, architecture, assumptions);
  check_size(request, architecture);
  if (!request.pin_memory) request.pin_memory = true;
  if (request.kind == StrategyKind::device_map) describe_device_map(request, topology, architecture, assumptions);
  request.host_memory = topology.hosts.front().memory;
  if (!request.nvme) {
    Bytes drives;
    for (const Storage& storage : topology.storages) {
      if (storage.host.index() == 0) drives += storage.capacity;
    }
    request.nvme = drives;
  }
  if (!request.price && topology.price_per_hour_usd > 0) request.price = topology.price_per_hour_usd;
  if (request.save != SaveKind::none && topology.storages.empty()) {
    assumptions.push_back("the topology has no drives: the checkpoint is brought together, but writing it takes no time");
  }
  if (request.grad_accum > 1 && is_fsdp(request)) {
    assumptions.push_back(
        "each micro-step reduces its gradients, as torchtitan does; accelerate's no_sync would keep them unsharded");
  }
  if ((request.kind == StrategyKind::single || request.kind == StrategyKind::ddp ||
       request.kind == StrategyKind::device_map) &&
      keeps_master_weights(request.precision)) {
    assumptions.push_back(
        "16-bit weights beside an fp32 copy that the optimizer updates; the step casts all gradients to fp32 at once");
  }
  return request;
}

}  // namespace shardsim
