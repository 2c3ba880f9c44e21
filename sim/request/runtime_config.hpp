// What a training runtime's own config file sets, in our options' words.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sim/request/option_text.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

struct RuntimeConfig {
  OptionTexts options;             ///< as if typed, below the command line; `where` names the file and the key
  std::optional<Offload> offload;  ///< where the file tells devices apart that one strategy name does not
  ZeroOptions zero;
  FsdpOptions fsdp;
  std::optional<std::int64_t> train_batch_size;
  std::optional<std::int64_t> processes, machines;
  std::vector<std::string> warnings;  ///< keys that nobody knows, settings that are not simulated
};

}  // namespace shardsim
