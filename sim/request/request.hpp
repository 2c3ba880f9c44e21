// What the user asked for, every option resolved to a value.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/adapter.hpp"
#include "model/core/units.hpp"
#include "model/operators.hpp"
#include "model/optimizer.hpp"
#include "model/precision.hpp"

namespace shardsim {

/// The base algorithm; where its states live is in Offload.
enum class StrategyKind : std::uint8_t {
  single,
  ddp,
  zero1,
  zero2,
  zero3,
  fsdp,
  fsdp_grad_op,
  hsdp,
  fsdp1,
  fsdp1_grad_op,
  fsdp1_hsdp,
  device_map,
};
/// torch.distributed.fsdp.fully_shard.
constexpr bool is_fsdp2(StrategyKind kind) {
  return kind == StrategyKind::fsdp || kind == StrategyKind::fsdp_grad_op || kind == StrategyKind::hsdp;
}
/// torch.distributed.fsdp.FullyShardedDataParallel.
constexpr bool is_fsdp1(StrategyKind kind) {
  return kind == StrategyKind::fsdp1 || kind == StrategyKind::fsdp1_grad_op || kind == StrategyKind::fsdp1_hsdp;
}
constexpr bool is_fsdp(StrategyKind kind) { return is_fsdp1(kind) || is_fsdp2(kind); }
/// DeepSpeed.
constexpr bool is_zero(StrategyKind kind) {
  return kind == StrategyKind::zero1 || kind == StrategyKind::zero2 || kind == StrategyKind::zero3;
}
/// Hybrid sharding: over the GPUs of a node, replicated over the nodes.
constexpr bool shards_within_nodes(StrategyKind kind) {
  return kind == StrategyKind::hsdp || kind == StrategyKind::fsdp1_hsdp;
}
struct Offload {
  bool optimizer = false;
  bool parameters = false;
  bool optimizer_on_nvme = false;  ///< what is offloaded lies on drives, not in host memory
  bool parameters_on_nvme = false;
  bool on_nvme() const { return optimizer_on_nvme || parameters_on_nvme; }
  bool any() const { return optimizer || parameters; }
  bool operator==(const Offload&) const = default;
};
enum class Checkpointing : std::uint8_t { none, full, selective, every };
enum class OptimizerImpl : std::uint8_t { fused, foreach, for_loop };
/// PyTorch's allocator for device memory: as it comes, or under PYTORCH_ALLOC_CONF=expandable_segments:True.
enum class AllocatorKind : std::uint8_t { caching, expandable };
enum class SaveKind : std::uint8_t { none, sharded, full, gathered_16bit, adapter };
enum class Format : std::uint8_t { text, json, csv, markdown, html };

/// DeepSpeed's `zero_optimization` section with its defaults (runtime/zero/config.py, offload_config.py); sizes in
/// elements.
struct ZeroOptions {
  std::int64_t reduce_bucket_size = 500'000'000;
  std::optional<bool> overlap_comm;  ///< absent: on in stage 3 only
  bool contiguous_gradients = true;
  bool reduce_scatter = true;
  bool round_robin_gradients = false;
  std::int64_t sub_group_size = 1'000'000'000;
  std::int64_t prefetch_bucket_size = 50'000'000;
  std::int64_t persistence_threshold = 100'000;
  std::int64_t max_live_parameters = 1'000'000'000;
  std::int64_t max_reuse_distance = 1'000'000'000;
  bool gather_16bit_weights_on_save = false;
  double ratio = 1;  ///< part of the optimizer that is offloaded (stage 3)
  std::optional<DType> grad_accum_type;
  std::int64_t parameter_buffer_count = 5, parameter_buffer_size = 100'000'000, max_in_cpu = 1'000'000'000;
  std::int64_t optimizer_buffer_count = 4;
  bool pipeline_read = false, pipeline_write = false;
  /// "auto" in the file: Hugging Face fills these in from the hidden size, which with_runtime_defaults() knows.
  bool auto_reduce_bucket_size = false, auto_prefetch_bucket_size = false, auto_persistence_threshold = false;
  bool operator==(const ZeroOptions&) const = default;
};

/// What FSDP1 and FSDP2 leave open (torch and accelerate defaults).
struct FsdpOptions {
  enum class Prefetch : std::uint8_t { none, pre, post };
  std::optional<Prefetch> backward_prefetch;  ///< FSDP1; absent: the runtime's
  bool forward_prefetch = false;
  bool limit_all_gathers = true;
  bool use_orig_params = false;
  bool cpu_ram_efficient_loading = true;
  bool operator==(const FsdpOptions&) const = default;
};

struct Request {
  std::string topology;  ///< as typed
  std::string gpu;
  std::string fabric;     ///< as typed, "fat-tree:2"; empty: a non-blocking network
  std::string slow_gpus;  ///< as typed, "3:0.8"
  std::string model = "llama-2-7b";
  std::string strategy;    ///< as typed, "zero3-offload"
  std::string deepspeed;   ///< the ds_config.json that was read; empty: none
  std::string accelerate;  ///< the accelerate YAML that was read; empty: none
  StrategyKind kind = StrategyKind::single;
  Offload offload;
  std::int64_t seq_len = 4096;
  bool seq_len_given = false;  ///< false: a model with fewer learned positions shortens it
  std::int64_t micro_batch = 1;
  bool micro_batch_given = false;
  std::int64_t grad_accum = 1;
  bool grad_accum_given = false;
  std::optional<std::int64_t> train_batch_size;     ///< DeepSpeed's: sequences a step, over all ranks
  std::optional<std::int64_t> processes, machines;  ///< what an accelerate YAML says of the topology
  Precision precision = Precision::bf16_mixed;
  std::optional<DType> reduce_dtype;  ///< absent: the runtime's
  OptimizerKind optimizer = OptimizerKind::adamw;
  Peft peft;
  std::string peft_config;  ///< the adapter_config.json that was read; empty: none
  Checkpointing checkpointing = Checkpointing::none;
  std::int64_t checkpoint_every = 1;  ///< of Checkpointing::every: each K-th decoder layer is checkpointed
  std::optional<bool> use_reentrant;  ///< torch's older checkpoints; absent: the runtime's
  bool compile = false;               ///< torch.compile of each block
  AttentionKind attention = AttentionKind::flash;
  LossKind loss = LossKind::eager;
  Implementation implementation = Implementation::hf;
  Transformers transformers = Transformers::v4_57;
  bool keep_outputs = false;  ///< until backward is over
  OptimizerImpl optimizer_impl = OptimizerImpl::fused;
  std::optional<bool> pin_memory;           ///< absent: the runtime's (on)
  std::optional<std::int64_t> cpu_threads;  ///< of each rank's optimizer in host memory; absent: the launcher's
  AllocatorKind allocator = AllocatorKind::caching;
  ZeroOptions zero;
  FsdpOptions fsdp;
  SaveKind save = SaveKind::none;
  std::optional<std::int64_t> tokens, examples;  ///< length of the whole run
  std::optional<double> epochs;
  std::optional<Bytes> host_memory;  ///< per node
  std::optional<Bytes> nvme;         ///< per node
  std::optional<double> price;       ///< USD an hour for the whole topology
  Format format = Format::text;
  std::string output;           ///< -o; empty: stdout
  std::string trace;            ///< .json, .json.gz or .pftrace; empty: none
  std::string memory_snapshot;  ///< empty: none
  bool color = true;            ///< not --no-color; the terminal has its say too
  int verbosity = 0;            ///< -1 quiet, 0, 1 verbose
  int threads = 0;              ///< 0: all
  std::uint64_t seed = 0;
  std::vector<std::string> warnings;  ///< what a file sets and is not simulated, a sentence each
  bool operator==(const Request&) const = default;
};

/// The strategies' names that parse, sorted.
std::vector<std::string> strategy_names();

}  // namespace shardsim
