// From a config.json's keys to the facts that shape memory and work. The keys, their spellings and their defaults are
// those of the configuration classes of transformers 4.57 and 5 (models/<family>/configuration_<family>.py).
#pragma once

#include "model/architecture.hpp"
#include "model/config.hpp"

namespace shardsim {

/// Finds the family by `model_type`, inside `text_config` where there is one, and reads its keys.
Dimensions read_dimensions(const Config& config);

/// The root's `quantization_config`, where there is one. Throws InputError for methods that nobody knows, and for
/// values that are not simulated.
std::optional<StoredQuantization> read_quantization(const Config& root);

/// One group of families each; `dims.family` is set, everything else is theirs to fill.
void read_llama_like(const Config& config, Dimensions& dims);
void read_deepseek(const Config& config, Dimensions& dims);
void read_gpt2(const Config& config, Dimensions& dims);
void read_gpt_neox(const Config& config, Dimensions& dims);
void read_falcon(const Config& config, Dimensions& dims);
void read_opt(const Config& config, Dimensions& dims);
void read_bloom(const Config& config, Dimensions& dims);
void read_mpt(const Config& config, Dimensions& dims);

/// Parts that the families share.
Activation read_activation(const Config& config, Config::Keys keys, std::string_view fallback);
/// hidden / heads; refuses a remainder.
std::int64_t divided_head_dim(const Config& config, const Dimensions& dims);

}  // namespace shardsim
