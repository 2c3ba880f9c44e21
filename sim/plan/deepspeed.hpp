// What DeepSpeed's ZeRO stages share: configuration, parameter groups, element sizes by precision.
#pragma once

#include <cstdint>
#include <vector>

#include "model/architecture.hpp"
#include "model/precision.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

/// Bytes an element of each copy that ZeRO keeps.
struct ZeroSizes {
  std::int64_t weight = 2;  ///< what the model computes with, and its gradients
  std::int64_t master = 4;  ///< the optimizer's copy; there is one even where the weights are of the same type
};
/// bf16_mixed and fp16_mixed: 2 and 4; bf16: 2 and 2 (`bf16_master_weights_and_grads`); fp32 and autocast: 4 and 4.
/// Stage 3 means to alias a master of the weights' own type, but stage3.py (_create_fp32_partitions, DeepSpeed 0.19.8)
/// compares a torch.device with a string, which is never equal, and clones.
ZeroSizes zero_sizes(Precision precision);

/// The optimizer's parameter groups, of what is trained, as the Hugging Face Trainer makes them: with weight decay
/// (matrices), without (norms and biases); each in registration order. AdamW over model.parameters() would have one
/// group: one norm, one all-gather and one padding less, and partitions cut in registration order.
/// `muon` parts each into what DeepSpeed's Muon orthogonalizes and what its auxiliary AdamW updates
/// (DeepSpeedEngine._muon_param_groups), the former by falling shape.
std::vector<std::vector<ParameterId>> parameter_groups(const Architecture& architecture, bool muon = false);
/// DeepSpeed tells by the name (set_optimizer_flags): matrices, but for those called "embed" or "lm_head". GPT-2's
/// embeddings, wte and wpe, are none to it.
bool is_tagged_for_muon(const Parameter& parameter);

/// The part of a flat parameter group that a rank owns under stages 1 and 2.
struct OwnedSlice {
  ParameterId parameter;
  std::int64_t elements = 0;  ///< of it inside the partition
};
struct FlatGroup {
  bool muon = false;  ///< of matrices that DeepSpeed's Muon orthogonalizes
  std::vector<ParameterId> parameters;
  std::int64_t padded = 0;     ///< elements, a multiple of 2 * world (nccl_start_alignment_factor)
  std::int64_t partition = 0;  ///< padded / world
  std::vector<OwnedSlice> owned;
  std::vector<std::int64_t> offset;  ///< of each parameter in the flat buffer
};
struct Grouping {
  /// Deals the parameters out to the ranks in turn before they are laid end to end (round_robin_gradients), so that
  /// gradients that are ready one after the other have different owners.
  bool round_robin = false;
  bool muon = false;  ///< as for parameter_groups
};
Grouping grouping_of(const Request& request);
std::vector<FlatGroup> flat_groups(const Architecture& architecture, std::int64_t rank, std::int64_t world,
                                   const Grouping& grouping = {});

/// Where a parameter lies in its group's flat buffer, and what each rank owns of that.
struct FlatPlace {
  std::int64_t offset = 0;
  std::int64_t partition = 1;
};
/// Consecutive elements of a bucket with one owner.
struct OwnerSlice {
  std::int64_t owner = 0;
  std::int64_t elements = 0;
};
/// Appends a parameter's gradient, cut at the partitions' boundaries; a slice joins the last one of the same owner.
void add_slices(const FlatPlace& place, std::int64_t numel, std::vector<OwnerSlice>& slices);

/// Equal for ranks that own equally large slices of equally large parameters in the same order.
std::uint64_t zero12_role(const Architecture& architecture, std::int64_t rank, std::int64_t world,
                          const Grouping& grouping = {});

}  // namespace shardsim
