// What activation checkpointing keeps, and what it runs again.
#pragma once

#include <vector>

#include "model/architecture.hpp"
#include "model/operators.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

/// A checkpointed decoder layer keeps its inputs and the outputs of its cached operators; all else runs again.
struct Recomputation {
  std::vector<bool> layers;  ///< by decoder layer: checkpointed
  std::vector<bool> cached;  ///< by OperatorId: outputs are kept
  bool early_stop = true;    ///< stops once everything that backward needs is there again
  bool reentrant = false;    ///< the layer's recomputed output lives until its backward is over
  /// Each layer's input and that input's gradient live until the end of backward.
  bool retains_inputs = false;
};

/// `full`: every layer. `every:K`: the K-th, 2K-th, ... layer, counted from 1 (torchtitan's selective_ac_option "K").
/// `selective`: every layer, with torchtitan's policy for operators (distributed/activation_checkpoint.py): the outputs
/// of attention, batched and biased products are kept, and of every second other product, beginning with the first of
/// each layer; products of the router's shape are neither kept nor counted, nor are those of experts, nor fp8's (its
/// lists of 2024 to early 2026 name aten::mm alone). torchtitan
/// recomputes to the end of the layer, torch's default stops early; reentrant checkpoints run to the end as well.
///
/// Reentrant checkpoints detach a layer's input. FSDP1 hangs a hook on the detached input of a unit that is frozen, to
/// know when it can reshard (torch/distributed/fsdp/_runtime_utils.py, _register_post_backward_reshard_only_hook); the
/// hook's closure holds the input's gradient accumulator, and with it the input and its gradient, until all hooks go at
/// the end of backward. So it is where the checkpoint lies around the unit, as in transformers before 4.53.
Recomputation plan_recomputation(const Request& request, const Architecture& architecture, const Graph& graph);

}  // namespace shardsim
