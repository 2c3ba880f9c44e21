// DeepSpeed's ds_config.json -> options.
#pragma once

#include <filesystem>
#include <string_view>

#include "sim/request/runtime_config.hpp"

namespace shardsim {

/// Reads the file as DeepSpeed (runtime/config.py, runtime/zero/config.py, offload_config.py) and Hugging Face's
/// integration do: values of "auto" stay the options' own or are marked in ZeroOptions, legacy keys stand for the new
/// ones, whole numbers may be written 5e8. `option` names the one that led here. Throws InputError for what is
/// malformed and for combinations that DeepSpeed itself refuses, with its reason.
RuntimeConfig read_deepspeed_config(const std::filesystem::path& file, std::string_view option = "--deepspeed");

/// The strategy that a ZeRO stage with these offload devices ("none", "cpu", "nvme") amounts to, and what lies where:
/// stages below 3 leave parameters on the device and know no drives; two mixtures of devices share the name of a third.
struct ZeroPlacement {
  std::string strategy;
  Offload offload;
};
ZeroPlacement zero_placement(std::int64_t stage, std::string_view optimizer, std::string_view parameters);

}  // namespace shardsim
