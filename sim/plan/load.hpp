// The first stage of a run: how the weights get from a checkpoint to where the strategy keeps them.
#pragma once

#include <string>

#include "sim/plan/strategy.hpp"

namespace shardsim {

/// Records the loading of a pretrained model around Strategy::initialise(), by the path that each runtime recommends:
/// - single, ddp, ZeRO-1/2: every rank's from_pretrained() holds the whole model in host memory until it is on the
///   device. DDP then broadcasts through two buffers of 250 MiB (torch/csrc/distributed/c10d/reducer.cpp,
///   broadcast_coalesced). ZeRO-1/2 flatten the parameters: on the device, where originals and flat copy fit beside
///   each other, else in host memory (deepspeed/runtime/zero/stage_1_and_2.py); last, a zero gradient of each partition
///   is made and dropped (initialize_optimizer_states).
/// - ZeRO-3: under zero.Init each module is partitioned as it is made (partition_parameters.py); the partitions are
/// then
///   put into one flat buffer, from device memory through host memory, in pinned memory beside the pinned originals.
/// - FSDP: rank 0 alone holds the model in host memory (cpu_ram_efficient_loading) and broadcasts it tensor by tensor
///   (accelerate/utils/fsdp_utils.py, fsdp2_load_full_state_dict), FSDP1 unit by unit, each flattened into a copy
///   before it is sharded (torch/distributed/fsdp/_init_utils.py); shards are upcast afterwards.
/// - device-map: each tensor goes from its mapped file to its device.
/// No time passes in this stage: what a file system gives is not known. At its end the device's cache is emptied, as
/// DeepSpeed does; elsewhere the first step takes up what it held.
void record_load(const StrategyContext& context, Strategy& strategy);

/// The path, as a sentence.
std::string describe_load(const Request& request);

/// True where rank 0 holds what the others do not.
bool loads_on_rank_0(const Request& request);

}  // namespace shardsim
