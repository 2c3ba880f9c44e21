// Which optimizers a runtime takes.
#pragma once

#include "sim/request/request.hpp"

namespace shardsim {

/// Throws InputError for an optimizer that the strategy's runtime refuses, with the reason, and for one whose step is
/// not simulated there. Each reason was read in the runtime's source (DeepSpeed 0.19.8, runtime/engine.py and
/// zero/stage3.py) or met by running it (torch 2.13 with bitsandbytes 0.50.2 and transformers 5.23 over fully_shard on
/// two CPU ranks, 2026-11-21).
void check_optimizer(const Request& request);

}  // namespace shardsim
