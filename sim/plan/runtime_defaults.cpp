#include "sim/plan/runtime_defaults.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "model/core/error.hpp"
#include "sim/plan/adapter_defaults.hpp"
#include "sim/plan/device_map.hpp"
#include "sim/plan/framework_defaults.hpp"
#include "sim/plan/nvme_swap.hpp"
#include "sim/plan/optimizer_rules.hpp"
#include "sim/plan/save.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

// Every micro-step is simulated: a layer's pass takes up to 350 kB (ZeRO-1 of llama-2-7b, measured).
constexpr std::int64_t most_layer_passes = 50'000;

void choose_reduce_type(Request& request, std::vector<std::string>& assumptions) {
  const DType gradients = gradient_type(request.precision);
  if (request.reduce_dtype) {
    const bool chooses = is_fsdp(request.kind) || is_zero(request.kind);
    if (!chooses && *request.reduce_dtype != gradients) {
      throw InputError(fmt::format("{} reduces gradients in their own type, {}", request.strategy, name_of(gradients)),
                       "--reduce-dtype", fmt::format("{}, or a zero or fsdp strategy", name_of(gradients)));
    }
    return;
  }
  request.reduce_dtype = gradients;
  if (!keeps_master_weights(request.precision)) return;
  if (is_fsdp1(request.kind)) {
    assumptions.push_back(
        "gradients are reduced in 16 bits, as FSDP1 does unless told otherwise, and accelerate too: --reduce-dtype "
        "fp32");
  }
  if (!is_fsdp2(request.kind)) return;
  request.reduce_dtype = DType::f32;
  assumptions.push_back(
      "gradients are reduced in fp32, as torchtitan does; accelerate reduces in 16 bits: --reduce-dtype bf16");
}

void choose_seq_len(Request& request, const Architecture& architecture, std::vector<std::string>& assumptions) {
  const Dimensions& dims = architecture.dims;
  const std::int64_t most = dims.max_positions - request.peft.prompt_length();
  if (request.seq_len_given || !dims.learned_positions || request.seq_len <= most || most < 1) return;
  request.seq_len = most;
  assumptions.push_back(fmt::format("--seq-len is {}: {} has learned positions for no more", most, architecture.name));
}

void choose_fsdp1_prefetch(Request& request, std::vector<std::string>& assumptions) {
  if (!is_fsdp1(request.kind) || request.fsdp.backward_prefetch) return;
  const bool accelerate = request.implementation == Implementation::hf;
  request.fsdp.backward_prefetch = accelerate ? FsdpOptions::Prefetch::none : FsdpOptions::Prefetch::pre;
  assumptions.push_back(
      accelerate ? "FSDP1 prefetches nothing in backward: accelerate's default for transformers' models"
                 : "FSDP1 prefetches the next unit before each one's backward (BACKWARD_PRE, torch's default)");
}

// transformers' default up to 4.57. FSDP2 and DeepSpeed are described as they are used since.
void choose_reentrant(Request& request, std::vector<std::string>& assumptions) {
  const bool checkpoints =
      request.checkpointing == Checkpointing::full || request.checkpointing == Checkpointing::every;
  if (request.use_reentrant.value_or(false) && !checkpoints) {
    throw InputError("reentrant checkpoints are of whole blocks", "--use-reentrant on",
                     "--checkpointing full or every:K");
  }
  const bool given = request.use_reentrant.has_value();
  const bool usual = checkpoints && is_fsdp1(request.kind) && is_transformers(request.implementation);
  request.use_reentrant = request.use_reentrant.value_or(usual);
  if (!*request.use_reentrant || !is_fsdp1(request.kind)) return;
  if (!given) {
    assumptions.emplace_back(
        "FSDP1 is taken to run under transformers before 4.53: reentrant checkpoints around each unit, which is "
        "gathered "
        "for recomputation and again for backward; otherwise: --use-reentrant off");
  }
  if (request.peft.any()) {
    assumptions.emplace_back(
        "frozen FSDP1 units under reentrant checkpoints hold each layer's input and its gradient until the end of "
        "backward");
  }
}

void explain_fsdp(const Request& request, const Topology& topology, std::vector<std::string>& assumptions) {
  if (shards_within_nodes(request.kind)) {
    assumptions.push_back(
        topology.hosts.size() > 1
            ? fmt::format("states are sharded over the {} GPUs of a node and replicated over {} nodes",
                          topology.devices_a_host(), topology.hosts.size())
            : "one node: there is nothing to replicate over, hybrid sharding is full sharding");
  }
  if (request.grad_accum > 1) {
    assumptions.push_back(
        "each micro-step reduces its gradients, as torchtitan does; accelerate's no_sync would keep them unsharded");
  }
}

// DeepSpeed's runtime/config.py: two of total, micro-batch and accumulation give the third; a total alone means no
// accumulation. The options' own defaults count as not given.
void choose_batch(Request& request, std::int64_t ranks, std::vector<std::string>& assumptions) {
  if (!request.train_batch_size) return;
  const std::int64_t total = *request.train_batch_size;
  if (request.micro_batch_given && !request.grad_accum_given) {
    request.grad_accum = total / request.micro_batch / ranks;
  } else if (!request.micro_batch_given) {
    request.micro_batch = total / ranks / request.grad_accum;
  }
  if (request.micro_batch < 1 || request.grad_accum < 1 || total / request.micro_batch / request.grad_accum != ranks ||
      total % (request.micro_batch * request.grad_accum) != 0) {
    throw InputError(fmt::format("train_batch_size {} is not micro-batch {} x accumulation {} x {} ranks: DeepSpeed "
                                 "refuses it",
                                 total, request.micro_batch, request.grad_accum, ranks),
                     request.deepspeed.empty() ? request.accelerate : request.deepspeed,
                     "the product of the three, or one of them left open");
  }
  assumptions.push_back(fmt::format("train_batch_size {} over {} ranks: micro-batch {}, {} micro-steps a step", total,
                                    ranks, request.micro_batch, request.grad_accum));
}

// Hugging Face's rules for "auto" (transformers/integrations/deepspeed.py).
void choose_zero_sizes(Request& request, const Architecture& architecture, std::vector<std::string>& assumptions) {
  ZeroOptions& zero = request.zero;
  const std::int64_t hidden = architecture.dims.hidden;
  const auto fill = [&](bool is_auto, std::int64_t& size, std::int64_t value, std::string_view name) {
    if (!is_auto) return;
    size = value;
    assumptions.push_back(fmt::format("{} \"auto\" is {} elements, by the hidden size {}", name, value, hidden));
  };
  fill(zero.auto_reduce_bucket_size, zero.reduce_bucket_size, hidden * hidden, "reduce_bucket_size");
  if (request.kind != StrategyKind::zero3) return;
  fill(zero.auto_prefetch_bucket_size, zero.prefetch_bucket_size, hidden * hidden * 9 / 10,
       "stage3_prefetch_bucket_size");
  fill(zero.auto_persistence_threshold, zero.persistence_threshold, 10 * hidden, "stage3_param_persistence_threshold");
}

// torch/distributed/run.py sets OMP_NUM_THREADS to 1 where a host runs several ranks and nobody has said otherwise, and
// accelerate launches through it; deepspeed's launcher leaves OpenMP its default, all cores, which the ranks then
// share.
void choose_cpu_threads(Request& request, const Topology& topology, std::vector<std::string>& assumptions) {
  if (!request.offload.optimizer || request.cpu_threads) return;
  const auto ranks = static_cast<std::int64_t>(topology.devices_a_host());
  const std::int64_t cores = topology.hosts.front().cores;
  if (ranks > 1 && (is_fsdp(request.kind) || !request.accelerate.empty())) {
    request.cpu_threads = 1;
    assumptions.emplace_back(
        "the CPU optimizer of each rank runs on one core: torchrun and accelerate set OMP_NUM_THREADS=1 unless told "
        "otherwise (--cpu-threads)");
  } else {
    request.cpu_threads = std::max<std::int64_t>(1, cores / ranks);
    assumptions.push_back(
        fmt::format("the CPU optimizers of a host share its {} cores, as under the deepspeed launcher; under torchrun "
                    "or accelerate "
                    "each has one: --cpu-threads 1",
                    cores));
  }
}

// The parts of zero_optimization that no plan has, each by its name.
void warn_of_unplanned(Request& request) {
  const ZeroOptions& zero = request.zero;
  if (!is_zero(request.kind)) return;
  const auto warn = [&](bool asked, std::string_view what) {
    if (asked) request.warnings.push_back(fmt::format("zero_optimization: {}", what));
  };
  // Offloading makes gradients contiguous whatever the file says.
  warn(!zero.contiguous_gradients && !request.offload.optimizer, "contiguous_gradients false is not simulated");
  warn(zero.ratio < 1 && !request.offload.optimizer, "ratio below 1 has no optimizer to divide: none is offloaded");
  warn(zero.ratio < 1 && request.offload.on_nvme(),
       "ratio below 1 keeps nothing on the GPU where states lie on drives: all are updated on the CPU");
  const DType gradients = gradient_type(request.precision);
  const bool widens = zero.grad_accum_type && *zero.grad_accum_type != gradients;
  if (takes_bf16_optimizer(request)) return;
  // Stage 2 ignores it (copy_grads_in_partition takes the model's type).
  warn(widens && request.kind != StrategyKind::zero2,
       "data_types.grad_accum_dtype is not simulated: gradients accumulate in their own type");
}

// torch/distributed/fsdp/_runtime_utils.py, _offload_grad: a copy, not a sum.
void warn_of_lost_gradients(Request& request) {
  if (!is_fsdp1(request.kind) || !request.offload.any() || request.grad_accum == 1) return;
  request.warnings.emplace_back(
      "FSDP1 with CPU offload does not accumulate: each micro-step's gradient overwrites the one before in CPU memory, "
      "and the optimizer sees the last alone");
}

void check_launch(const Request& request, const Topology& topology) {
  const auto check = [&](const std::optional<std::int64_t>& said, std::size_t there, std::string_view key,
                         std::string_view what) {
    if (!said || *said == static_cast<std::int64_t>(there)) return;
    throw InputError(fmt::format("{} is {}, the topology {} has {} {}", key, *said, topology.name, there, what),
                     request.accelerate, fmt::format("a topology of {} {}", *said, what));
  };
  check(request.processes, topology.devices.size(), "num_processes", "GPUs");
  check(request.machines, topology.hosts.size(), "num_machines", "nodes");
}

// Sizes are 64-bit: what a step touches must stay far below that, or a product would wrap.
void check_size(const Request& request, const Architecture& architecture) {
  const Dimensions& d = architecture.dims;
  const auto sum = [](auto... terms) { return (static_cast<double>(terms) + ...); };
  const double scores = request.attention != AttentionKind::flash
                            ? static_cast<double>(d.heads) * static_cast<double>(request.seq_len)
                            : 0;
  double layer = sum(d.hidden, d.ffn, d.q(), d.kv(), request.peft.rank) + scores;
  if (d.experts) {
    layer += static_cast<double>(d.experts->per_token) * sum(d.hidden, d.experts->ffn);
    layer += sum(d.experts->count, d.experts->shared_ffn);
  }
  if (d.latent) {
    layer += static_cast<double>(d.heads) * sum(d.latent->nope_dim, d.latent->rope_dim, d.latent->value_dim);
    layer += sum(d.latent->q_rank, d.latent->kv_rank);
  }
  const double sequence = sum(request.seq_len, request.peft.prompt_length());
  const double per_token = sum(d.vocab) + sequence + static_cast<double>(d.layers) * layer;  // masks are squares
  const double tokens = sequence * static_cast<double>(request.micro_batch);
  if (tokens * per_token < 1e16) return;
  throw InputError(fmt::format("a micro-batch of {} x {} tokens is too large to count its bytes", request.micro_batch,
                               request.seq_len),
                   "--micro-batch, --seq-len", "fewer tokens on a device at once");
}

void describe_device_map(const Request& request, const Topology& topology, const Architecture& architecture,
                         std::vector<std::string>& assumptions) {
  const DeviceMap map = map_devices(request, topology, apply_adapter(architecture, request.peft));
  std::vector<std::int64_t> layers(topology.devices.size());
  for (const ModuleId layer : architecture.layer_modules())
    ++layers[static_cast<std::size_t>(map.device[layer.index()])];
  assumptions.push_back(
      fmt::format("device_map=\"auto\" puts {} decoder layers on the GPUs, in order", fmt::join(layers, " + ")));
}

}  // namespace

// Accelerator.prepare_model() wraps forward() in ConvertOutputsToFp32 whenever precision is mixed; DeepSpeed's engine
// it leaves alone.
bool accelerate_converts_outputs(const Request& request) {
  const bool mixed = request.precision == Precision::bf16_mixed || request.precision == Precision::fp16_mixed;
  return is_transformers(request.implementation) && mixed && is_fsdp(request.kind);
}

Request with_runtime_defaults(Request request, const Topology& topology, const Architecture& architecture,
                              std::vector<std::string>& assumptions) {
  check_launch(request, topology);
  check_strategy(request, static_cast<std::int64_t>(topology.devices.size()),
                 static_cast<std::int64_t>(topology.hosts.size()));
  check_optimizer(request);
  choose_batch(request, static_cast<std::int64_t>(topology.devices.size()), assumptions);
  choose_zero_sizes(request, architecture, assumptions);
  check_save(request);
  check_nvme(request, topology, architecture, assumptions);
  if (request.grad_accum > most_layer_passes / std::max<std::int64_t>(1, architecture.dims.layers)) {
    throw InputError(
        fmt::format("{} micro-steps of {} layers are too many to simulate one by one", request.grad_accum,
                    architecture.dims.layers),
        "--grad-accum",
        fmt::format("at most {}", most_layer_passes / std::max<std::int64_t>(1, architecture.dims.layers)));
  }
  request.warnings.insert(request.warnings.end(), architecture.warnings.begin(), architecture.warnings.end());
  warn_of_unplanned(request);
  warn_of_lost_gradients(request);
  choose_reduce_type(request, assumptions);
  choose_seq_len(request, architecture, assumptions);
  choose_attention(request, architecture, assumptions);
  take_stored_quantization(request, architecture, assumptions);
  choose_adapter_types(request, architecture, assumptions);
  describe_framework(request, assumptions);
  check_size(request, architecture);
  if (!request.pin_memory) request.pin_memory = true;
  choose_cpu_threads(request, topology, assumptions);
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
    assumptions.push_back(
        "the topology has no drives: the checkpoint is brought together, but writing it takes no time");
  }
  if (request.allocator == AllocatorKind::expandable) {
    assumptions.push_back(
        "the run sets PYTORCH_ALLOC_CONF=expandable_segments:True (PYTORCH_CUDA_ALLOC_CONF before PyTorch 2.9)");
  }
  choose_reentrant(request, assumptions);
  choose_fsdp1_prefetch(request, assumptions);
  if (is_fsdp(request.kind)) explain_fsdp(request, topology, assumptions);
  if (is_zero(request.kind) && request.optimizer == OptimizerKind::muon) {
    assumptions.push_back(
        "Muon under ZeRO is DeepSpeed's own: momentum in the gradients' type beside a copy that is staged, "
        "Newton-Schulz "
        "on Gram matrices in fp16, FusedAdam for vectors and for what is called \"embed\" or \"lm_head\"");
  }
  if ((request.kind == StrategyKind::single || request.kind == StrategyKind::ddp ||
       request.kind == StrategyKind::device_map) &&
      keeps_master_weights(request.precision) && !request.peft.any()) {
    assumptions.push_back(
        "16-bit weights beside an fp32 copy that the optimizer updates; the step casts all gradients to fp32 at once");
  }
  return request;
}

}  // namespace shardsim
