// The strategies' makers, one a file.
#pragma once

#include <memory>

#include "sim/plan/strategy.hpp"

namespace shardsim {

std::unique_ptr<Strategy> make_single(const StrategyContext& context);
std::unique_ptr<Strategy> make_ddp(const StrategyContext& context);
std::unique_ptr<Strategy> make_zero12(const StrategyContext& context);
std::unique_ptr<Strategy> make_bf16_optimizer(const StrategyContext& context);
std::unique_ptr<Strategy> make_zero3(const StrategyContext& context);
std::unique_ptr<Strategy> make_device_map(const StrategyContext& context);
std::unique_ptr<Strategy> make_fsdp2(const StrategyContext& context);
std::unique_ptr<Strategy> make_fsdp1(const StrategyContext& context);

/// The type that parameters are stored in where nothing is sharded: 16 bits under mixed precision (beside an fp32
/// master), the precision's own otherwise, fp32 under autocast.
DType weight_type(Precision precision);
/// A parameter as one rank holds it whole; of a quantized one, its statistics apart. `otherwise` is the type of what
/// has none of its own.
void allocate_weight(Recorder& recorder, const Parameter& parameter, DType otherwise);
/// DeepSpeed's engine takes its BF16_Optimizer: ZeRO stage 1 in bf16 that accumulates in fp32, on the device.
bool takes_bf16_optimizer(const Request& request);
/// False where FSDP2 wraps no decoder layer: Hugging Face's Trainer sets peft's wrap policy, and accelerate 1.15
/// (utils/fsdp_utils.py, fsdp2_prepare_auto_wrap_policy) knows two others and answers None to it. Taken to happen where
/// an accelerate file launches a model of PEFT's.
bool wraps_layers(const Request& request);
/// The type of the gradients that autograd produces.
DType gradient_type(Precision precision);

}  // namespace shardsim
