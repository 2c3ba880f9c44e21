#include "sim/plan/runtime_defaults.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "model/core/error.hpp"
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

bool is_whole(const Request& request) {
  return request.kind == StrategyKind::single || request.kind == StrategyKind::ddp;
}

// Which types adapters and base have is the runtime's doing: PEFT makes adapters fp32 and the Trainer adds autocast;
// DeepSpeed casts the whole module to 16 bits; FSDP gathers everything in them.
void choose_adapter_types(Request& request, std::vector<std::string>& assumptions) {
  Peft& peft = request.peft;
  if (!peft.any()) return;
  if (request.precision == Precision::fp8_mixed) {
    throw InputError("adapters under fp8-mixed are not simulated", "--peft, --precision",
                     "bf16-mixed, fp16-mixed, amp-bf16, bf16 or fp32");
  }
  if (request.offload.on_nvme()) {
    throw InputError("adapters over a base on drives are not simulated yet", "--peft, --strategy " + request.strategy,
                     "zero3-offload, or --peft none");
  }
  const bool mixed = keeps_master_weights(request.precision);
  if (peft.quantizes() && !mixed && request.precision != Precision::bf16) {
    throw InputError("a quantized base computes in 16 bits", "--precision", "bf16-mixed, fp16-mixed or bf16");
  }
  const bool whole = is_whole(request);
  peft.fp32_adapters = whole && mixed;
  if (peft.quantizes() && peft.kbit_upcast.value_or(false) && !whole) {
    throw InputError(request.strategy + " holds what is not quantized in 16 bits again: the upcast is undone",
                     "--kbit-upcast on", "off, or single or ddp");
  }
  if (!peft.kbit_upcast) peft.kbit_upcast = whole && mixed && request.implementation == Implementation::hf;
  peft.kbit_upcast = *peft.kbit_upcast && peft.quantizes();
  if (whole && mixed) {
    assumptions.push_back(
        "a frozen base in 16 bits, adapters in fp32, forward under autocast: what PEFT and Hugging Face's Trainer make of "
        "mixed precision; adapters in 16 bits without autocast: --precision bf16");
  } else if (mixed) {
    assumptions.push_back("a frozen base in 16 bits; adapters compute in 16 bits and are updated in fp32, without autocast");
  }
  if (!peft.quantizes()) return;
  assumptions.push_back("quantized weights are expanded whole before each product, in forward, recomputation and backward");
  if (*peft.kbit_upcast) {
    assumptions.push_back(
        "prepare_model_for_kbit_training casts norms, embeddings and the head to fp32; without it: --kbit-upcast off");
  }
  if (request.kind == StrategyKind::zero3) {
    assumptions.push_back("ZeRO-3 does not partition quantized weights: every rank holds all of them");
  } else if (is_fsdp(request)) {
    assumptions.push_back("quantized weights are stored as 16-bit elements, which FSDP shards; their scales are replicated");
  }
}

}  // namespace

bool trainer_autocasts(const Request& request) {
  return request.peft.any() && is_whole(request) && keeps_master_weights(request.precision);
}

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
  choose_adapter_types(request, assumptions);
  check_size(request, architecture);
  if (!request.pin_memory) request.pin_memory = true;
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
  if ((request.kind == StrategyKind::single || request.kind == StrategyKind::ddp) &&
      keeps_master_weights(request.precision) && !request.peft.any()) {
    assumptions.push_back(
        "16-bit weights beside an fp32 copy that the optimizer updates; the step casts all gradients to fp32 at once");
  }
  return request;
}

}  // namespace shardsim
