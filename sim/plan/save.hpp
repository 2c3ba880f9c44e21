// The last stage of a run: the checkpoint that follows the step.
#pragma once

#include "sim/plan/strategy.hpp"

namespace shardsim {

/// Throws InputError where the runtime writes no such checkpoint.
void check_save(const Request& request);

/// Records --save after the last step: all ranks meet, then
/// - ZeRO, sharded (deepspeed/runtime/engine.py, save_checkpoint): every rank writes its partition of master weights
/// and
///   optimizer states, tensor by tensor through pageable host memory; rank 0 writes the 16-bit weights as well (stages
///   1 and 2; stage 3 holds them in the partitions only). States on drives are copied there.
/// - ZeRO, gathered 16-bit (save_16bit_model): rank 0 collects the weights in host memory; under stage 3 module by
///   module: gathered on all ranks, copied down by rank 0, broadcast and partitioned again (modifier_rank=0).
/// - FSDP, sharded (torch.distributed.checkpoint): every rank writes its shards of weights and optimizer states; ranks
///   that hold the same shards share the writing.
/// - FSDP, full (get_model_state_dict, get_optimizer_state_dict with full_state_dict and cpu_offload): tensor by tensor
///   gathered on the devices, collected by rank 0 in host memory, written; first the weights, then the optimizer
///   states. FSDP1 gathers unit by unit instead (FULL_STATE_DICT).
/// - single and ddp, full (the Hugging Face Trainer): rank 0 writes weights and optimizer states.
/// - a device map, full: likewise the one process, one device's tensors after the other's.
/// What is written crosses the links to the host's drives where the topology has some; else writing takes no time.
void record_save(const StrategyContext& context);

}  // namespace shardsim
