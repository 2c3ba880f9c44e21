// Which parameters FSDP gathers together, and how each is sharded.
#pragma once

#include <cstdint>
#include <vector>

#include "model/architecture.hpp"

namespace shardsim {

/// One parameter on dimension 0 over N ranks: chunks of ceil(dim0 / N) rows, the last ones short or empty. The stored
/// shard and the gathered parameter are padded to full chunks (torch/distributed/fsdp/_fully_shard/_fsdp_param.py,
/// `_init_sharded_param`); optimizer state has the local size. A quantized weight is sharded as what it is stored as:
/// one column of 16-bit elements.
struct FsdpParameter {
  ParameterId id;
  std::int64_t shard = 0;  ///< elements of a padded chunk
  std::int64_t local = 0;  ///< elements that this rank really owns
  bool trainable = true;
};

/// GPTQ's packed weights are buffers, and those stay whole.
bool is_sharded(const Parameter& parameter);

/// One call of fully_shard: hooks run before `first` and after `last` in forward.
struct FsdpUnit {
  ModuleId first, last;
  std::vector<FsdpParameter> parameters;
  bool reshard_after_forward = true;
  /// Nothing that enters `first` needs a gradient, so that no hook of autograd marks the end of its backward: the unit
  /// is reduced when the whole backward is over (_fsdp_state.py, `_root_post_backward_final_callback`).
  bool reduces_last = false;
  std::int64_t shard_elements() const;
  std::int64_t trained_shard_elements() const;
};

/// As accelerate (utils/fsdp_utils.py, fsdp2_prepare_model) and torchtitan wrap a transformer: the input embedding,
/// each decoder layer, and [final norm, lm_head] as one unit that stays gathered; what remains (learned positions)
/// belongs to the root, which stays gathered too. With tied embeddings the embedding joins the norm and the head in
/// their unit, which then is gathered from the beginning (one group must own a shared weight: torch 2.13 checks it).
/// Units stand in the order in which FSDP visits its states: the root (if it has parameters), then as modules stand.
/// Without `layers_apart` no policy wraps the layers, and the root has them all.
std::vector<FsdpUnit> fsdp_units(const Architecture& architecture, std::int64_t rank, std::int64_t world,
                                 bool reshard_after_forward, bool layers_apart = true);

/// One FlatParameter of FSDP1: all parameters of a wrapped module end to end, padded to the ranks, so that all ranks
/// own alike. Quantized weights count the 16-bit elements that they are stored as.
struct FlatUnit {
  ModuleId module;
  std::vector<ParameterId> parameters;
  std::int64_t elements = 0;          ///< before padding
  std::int64_t shard = 0;             ///< of one rank, padding included
  bool trained = true;                ///< it has a gradient, of all its elements
  std::int64_t trained_elements = 0;  ///< of those parameters that require one; fewer only with use_orig_params
  bool nested = false;                ///< inside of a decoder layer's unit
};

/// As accelerate's TRANSFORMER_BASED_WRAP wraps: each decoder layer; the root, first of all, holds the rest. Beside
/// frozen parameters, each module without children whose weight is trained is a unit of its own, behind all others
/// (peft/utils/other.py, fsdp_auto_wrap_policy); a trained bias beside a frozen weight stays with its layer.
std::vector<FlatUnit> flat_units(const Architecture& architecture, std::int64_t world);

/// By rank, numbers that are equal for ranks that own shards of equal sizes.
std::vector<std::uint64_t> fsdp_roles(const Architecture& architecture, std::int64_t world);

}  // namespace shardsim
