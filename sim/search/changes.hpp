// Single changes to a request, as people make them. Each gives the changed options, or nothing where it does not apply.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/request/option_text.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

struct ChangeTraits {
  bool trains_less = false;    ///< an adapter in place of the model
  bool repeats = false;        ///< may be made again until it fits
  bool adds_hardware = false;  ///< made in place of offload, not on top of it
  bool to_cpu = false;         ///< CPU optimizers keep fp32 states: 8-bit states and bf16 masters are taken back
};

struct Change {
  std::string name;
  ChangeTraits traits;
  std::function<std::optional<OptionTexts>(const OptionTexts& options, const Request& request, std::size_t gpus)> apply;
};

/// Towards less memory, in the order in which people try them.
std::vector<Change> memory_ladder();
/// Towards more tokens a second.
std::vector<Change> speed_moves();

/// `options` with one more, or one replaced.
OptionTexts with(OptionTexts options, const std::string& option, const std::string& value);

}  // namespace shardsim
