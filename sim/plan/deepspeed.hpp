// What DeepSpeed's ZeRO stages share: configuration, parameter groups, element sizes by precision.
#pragma once

#include <cstdint>
#include <vector>

#include "model/architecture.hpp"
#include "model/precision.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

/// Defaults of deepspeed/runtime/zero/config.py (deepspeedai/DeepSpeed edaa72212), in elements.
struct ZeroConfig {
  std::int64_t reduce_bucket_size = 500'000'000;
  std::int64_t sub_group_size = 1'000'000'000;
};

/// Bytes an element of each copy that ZeRO keeps.
struct ZeroSizes {
  std::int64_t weight = 2;    ///< what the model computes with, and its gradients
  std::int64_t master = 4;    ///< the optimizer's copy; with fp32 weights stages 1 and 2 clone it, stage 3 aliases it
  bool stage3_master = true;
};
/// bf16_mixed and fp16_mixed: 2 and 4; bf16: 2 and 2 (`bf16_master_weights_and_grads`); fp32 and autocast: 4 and 4.
ZeroSizes zero_sizes(Precision precision);

/// The optimizer's parameter groups, of trained parameters alone, as the Hugging Face Trainer makes them: with weight decay (matrices), without
/// (norms and biases); each in registration order.
std::vector<std::vector<ParameterId>> parameter_groups(const Architecture& architecture);

/// The part of a flat parameter group that a rank owns under stages 1 and 2.
struct OwnedSlice {
  ParameterId parameter;
  std::int64_t elements = 0;  ///< of it inside the partition
};
struct FlatGroup {
  std::vector<ParameterId> parameters;
  std::int64_t padded = 0;     ///< elements, a multiple of 2 * world (nccl_start_alignment_factor)
  std::int64_t partition = 0;  ///< padded / world
  std::vector<OwnedSlice> owned;
  std::vector<std::int64_t> offset;  ///< of each parameter in the flat buffer
};
std::vector<FlatGroup> flat_groups(const Architecture& architecture, std::int64_t rank, std::int64_t world);

/// Equal for ranks that own equally large slices of equally large parameters in the same order.
std::uint64_t zero12_role(const Architecture& architecture, std::int64_t rank, std::int64_t world);

}  // namespace shardsim
