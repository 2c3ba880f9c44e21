// accelerate's YAML (what `accelerate config` writes) -> options.
#pragma once

#include <filesystem>

#include "sim/request/runtime_config.hpp"

namespace shardsim {

/// Reads the launcher's file with accelerate's defaults (commands/config, utils/dataclasses.py): its FSDP section in
/// both versions, its DeepSpeed section or the ds_config.json that this one names (as given, else beside the YAML).
/// Throws InputError for what is malformed, for backends other than one GPU, DDP, FSDP and DeepSpeed, and for what
/// accelerate itself refuses.
RuntimeConfig read_accelerate_config(const std::filesystem::path& file);

}  // namespace shardsim
