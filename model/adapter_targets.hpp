// Which modules an adapter takes, by the rules of PEFT (tuners/tuners_utils.py, check_target_module_exists).
#pragma once

#include <cstdint>
#include <regex>
#include <string_view>
#include <utility>
#include <vector>

#include "model/adapter.hpp"
#include "model/architecture.hpp"

namespace shardsim {

/// What PEFT's all-linear takes and what a quantizing library replaces: every linear module but the head.
std::vector<ModuleId> inner_linear_modules(const Architecture& model);

/// The linear modules that `peft` names, in the model's order: `targets` by suffix or `target_pattern` over whole
/// names, without those that are excluded, in the layers asked for. Throws InputError where none is left.
std::vector<ModuleId> target_modules(const Architecture& model, const Peft& peft);

/// The ranks of the adapters on modules.
class AdapterRanks {
 public:
  /// Throws InputError for an expression of `rank_pattern` that is not understood.
  explicit AdapterRanks(const Peft& peft);
  /// That of the first pattern that fits the name, or `peft.rank`.
  std::int64_t of(std::string_view module) const;

 private:
  std::vector<std::pair<std::regex, std::int64_t>> patterns_;
  std::int64_t otherwise_;
};

}  // namespace shardsim
