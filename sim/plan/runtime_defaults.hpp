// What the runtime decides when the user does not.
#pragma once

#include <string>
#include <vector>

#include "model/architecture.hpp"
#include "sim/request/request.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

/// The request with every absent value filled in, and a sentence for each choice that a user may not expect:
/// - `reduce_dtype`: FSDP2 fp32 under mixed precision (as torchtitan sets it), else the gradients' type;
/// - `fsdp.backward_prefetch`: FSDP1 none for transformers' models (accelerate's), else BACKWARD_PRE (torch's);
/// - `cpu_threads`, where the optimizer is offloaded: what torchrun, accelerate or deepspeed leave a rank;
/// - `pin_memory`: on, DeepSpeed's and FSDP2's default;
/// - `seq_len`, when not given: 4096, or all that the model has learned positions for;
/// - `micro_batch`, `grad_accum` where a DeepSpeed file gives the total; the sizes of `zero` that it leaves "auto";
/// - `host_memory`, `nvme` (a node's), `price`: the topology's.
/// Throws InputError when the strategy makes no sense on the topology, a file contradicts the topology or itself, or
/// the work is too much to simulate.
Request with_runtime_defaults(Request request, const Topology& topology, const Architecture& architecture,
                              std::vector<std::string>& assumptions);

/// True where Hugging Face's Trainer gets the logits as an fp32 copy: FSDP under mixed precision.
bool accelerate_converts_outputs(const Request& request);

}  // namespace shardsim
