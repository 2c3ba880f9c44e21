// What the framework around the model decides about its blocks when the user has not.
#pragma once

#include <string>
#include <vector>

#include "model/architecture.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

/// The attention that really runs: transformers has no fused kernels for some families (`_supports_flash_attn`,
/// `_supports_sdpa` in its modeling files) and falls back. Says so in a sentence.
void choose_attention(Request& request, const Architecture& architecture, std::vector<std::string>& assumptions);

/// Sentences on what checkpointing, loss and implementation are taken to be, where a user may not expect it.
void describe_framework(const Request& request, std::vector<std::string>& assumptions);

}  // namespace shardsim
