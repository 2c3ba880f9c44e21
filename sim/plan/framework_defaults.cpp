#include "sim/plan/framework_defaults.hpp"

#include <fmt/format.h>

namespace shardsim {
namespace {

static_assert(AttentionKind::flash < AttentionKind::sdpa && AttentionKind::sdpa < AttentionKind::eager);

/// The fastest attention that transformers has for a family: its ALiBi biases reach no flash kernel, and bloom and mpt
/// have no SDPA form either.
AttentionKind fastest_attention(const Architecture& architecture) {
  const Family family = architecture.dims.family;
  if (family == Family::bloom || family == Family::mpt) return AttentionKind::eager;
  return architecture.dims.alibi ? AttentionKind::sdpa : AttentionKind::flash;
}

}  // namespace

void choose_attention(Request& request, const Architecture& architecture, std::vector<std::string>& assumptions) {
  const bool of_transformers = is_transformers(request.implementation);
  const AttentionKind fastest = fastest_attention(architecture);
  if (of_transformers && request.attention < fastest) {
    request.attention = fastest;
    assumptions.push_back(fastest == AttentionKind::eager
                              ? fmt::format("transformers has no fused attention for {}: eager runs", architecture.name)
                              : fmt::format("flash-attention takes no ALiBi biases: sdpa runs {}", architecture.name));
  }
  if (request.attention == AttentionKind::flash && request.precision == Precision::fp32) {
    assumptions.emplace_back(
        "flash-attention refuses fp32; simulated as a fused kernel of SDPA that keeps the same tensors");
  }
}

void describe_framework(const Request& request, std::vector<std::string>& assumptions) {
  if (request.checkpointing == Checkpointing::selective) {
    assumptions.emplace_back(
        "selective checkpointing is torchtitan's policy by operator: attention and every second product are kept, all "
        "else is recomputed");
  }
  if (request.loss == LossKind::chunked) {
    assumptions.emplace_back(
        "the chunked loss is torchtitan's: 8 chunks, each with its own backward through the head; the head's gradient "
        "is "
        "summed over the chunks and reduced once");
  }
  if (request.loss == LossKind::fused) {
    assumptions.emplace_back(
        "the fused loss is Liger's fused linear cross entropy: the gradients of the head and of its input are there "
        "from "
        "forward on, and the host waits for the device");
  }
  if (request.compile) {
    assumptions.emplace_back(
        "each block is compiled by itself, the loss is not; a fused chain of operators is one kernel at memory speed, "
        "and "
        "hooks inside a block are taken to break no graph");
  }
  if (request.implementation == Implementation::megatron) {
    assumptions.emplace_back(
        "megatron stands for Megatron-LM's fused kernels in each block, without tensor parallelism; weights, gradients "
        "and "
        "optimizer are the strategy's, and projections are separate products");
  }
}

}  // namespace shardsim
