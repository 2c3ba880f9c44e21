// What the user asked for, every option resolved to a value.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/core/units.hpp"
#include "model/operators.hpp"
#include "model/precision.hpp"

namespace shardsim {

/// The base algorithm; where its states live is in Offload.
enum class StrategyKind : std::uint8_t { single, ddp, zero1, zero2, zero3, fsdp, fsdp_grad_op };
struct Offload {
  bool optimizer = false;
  bool parameters = false;
  bool any() const { return optimizer || parameters; }
};
enum class Checkpointing : std::uint8_t { none, full };
enum class OptimizerImpl : std::uint8_t { fused, foreach, for_loop };
enum class Format : std::uint8_t { text, json, csv, markdown };

struct Request {
  std::string topology;  ///< as typed
  std::string gpu;
  std::string model = "llama-2-7b";
  std::string strategy;  ///< as typed, "zero3-offload"
  StrategyKind kind = StrategyKind::single;
  Offload offload;
  std::int64_t seq_len = 4096;
  bool seq_len_given = false;           ///< false: a model with fewer learned positions shortens it
  std::int64_t micro_batch = 1;
  std::int64_t grad_accum = 1;
  Precision precision = Precision::bf16_mixed;
  std::optional<DType> reduce_dtype;  ///< absent: the runtime's
  Checkpointing checkpointing = Checkpointing::none;
  AttentionKind attention = AttentionKind::flash;
  LossKind loss = LossKind::eager;
  Implementation implementation = Implementation::hf;
  OptimizerImpl optimizer_impl = OptimizerImpl::fused;
  std::optional<bool> pin_memory;    ///< absent: the runtime's (on)
  std::optional<Bytes> host_memory;  ///< per node
  std::optional<Bytes> nvme;         ///< per node
  std::optional<double> price;       ///< USD an hour for the whole topology
  Format format = Format::text;
  std::string output;  ///< -o; empty: stdout
  bool color = true;   ///< not --no-color; the terminal has its say too
  int verbosity = 0;   ///< -1 quiet, 0, 1 verbose
  int threads = 0;     ///< 0: all
  std::uint64_t seed = 0;
};

/// The strategies' names that parse, sorted.
std::vector<std::string> strategy_names();

}  // namespace shardsim
