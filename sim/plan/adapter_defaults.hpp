// What the runtimes make of adapters over a frozen base.
#pragma once

#include <string>
#include <vector>

#include "model/architecture.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

/// The types of adapters and base, which are the runtime's doing: PEFT makes adapters fp32 and Hugging Face's Trainer
/// adds autocast; DeepSpeed casts the whole module to 16 bits; FSDP gathers everything in them. Throws InputError, with
/// the runtime's own reason, for combinations that it refuses.
void choose_adapter_types(Request& request, const Architecture& base, std::vector<std::string>& assumptions);

/// What the model's own quantization_config means for training it, as transformers' Trainer takes it: adapters train
/// over the base as it is stored; without adapters a quantized model is refused, but for weights that are stored in fp8
/// or mxfp4, which are expanded first.
void take_stored_quantization(Request& request, const Architecture& architecture,
                              std::vector<std::string>& assumptions);

/// True where Hugging Face's Trainer wraps forward() in autocast over 16-bit weights: adapters under mixed precision,
/// where no runtime casts the parameters instead.
bool trainer_autocasts(const Request& request);

}  // namespace shardsim
