#include "model/adapter_targets.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <regex>
#include <set>
#include <string>

#include "model/core/error.hpp"

namespace shardsim {

namespace {

bool is_head(const Module& module) { return module.parent == ModuleId(0) && module.layer < 0; }

bool is_inner_linear(const Module& module) {
  return module.kind == ModuleKind::linear && !is_head(module) &&
         (module.class_name == "Linear" || module.class_name == "FalconLinear" || module.class_name == "Conv1D");
}

bool names(std::string_view target, std::string_view module) {
  if (module == target) return true;
  return module.size() > target.size() && module.ends_with(target) && module[module.size() - target.size() - 1] == '.';
}

bool names_any(const std::vector<std::string>& targets, std::string_view module) {
  return std::any_of(targets.begin(), targets.end(), [&](const std::string& target) { return names(target, module); });
}

std::string known_targets(const Architecture& model) {
  std::set<std::string_view> seen;
  for (const ModuleId id : inner_linear_modules(model)) {
    const std::string_view name = model.module(id).name;
    seen.insert(name.substr(name.rfind('.') + 1));
  }
  std::string text = "all-linear";
  for (const std::string_view name : seen) text += ", " + std::string(name);
  return text;
}

/// std::regex calls itself for each open parenthesis and for each state that it passes through: both are bounded, a
/// state being a character, as often as the repetitions around it may unroll it.
void check_extent(const std::string& pattern, const std::string& where) {
  constexpr double most_states = 4000;
  constexpr int deepest = 50;
  double unrolled = static_cast<double>(pattern.size());
  int open = 0, deepest_open = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\') {
      ++i;
    } else if (pattern[i] == '(') {
      deepest_open = std::max(deepest_open, ++open);
    } else if (pattern[i] == ')') {
      --open;
    } else if (pattern[i] == '{') {
      double most = 1, bound = 0;
      for (std::size_t at = i + 1; at < pattern.size() && pattern[at] != '}'; ++at) {
        bound = pattern[at] == ',' ? 0 : bound * 10 + (pattern[at] - '0');
        most = std::max(most, bound);
      }
      unrolled *= most;
    }
  }
  if (unrolled > most_states || deepest_open > deepest) {
    throw InputError("a regular expression is too long", where,
                     fmt::format("at most {} characters, counted as often as {{N}} repeats them, and {} parentheses in "
                                 "one another",
                                 most_states, deepest));
  }
}

std::regex expression(const std::string& pattern, const std::string& where) {
  check_extent(pattern, where);
  try {
#ifdef __GLIBCXX__
    // Without it some expressions take a time that doubles with each letter of a name.
    return std::regex(pattern, std::regex::ECMAScript | std::regex_constants::__polynomial);
#else
    return std::regex(pattern);
#endif
  } catch (const std::regex_error&) {
    throw InputError("'" + pattern + "' is not a regular expression that is understood here", where,
                     "module names, or an expression without look-behind and references back");
  }
}

std::vector<ModuleId> matching(const Architecture& model, const std::string& pattern) {
  const std::regex wanted = expression(pattern, "target_modules");
  std::vector<ModuleId> found = inner_linear_modules(model);
  std::erase_if(found, [&](ModuleId id) { return !std::regex_match(model.module(id).name, wanted); });
  if (!found.empty()) return found;
  throw InputError("'" + pattern + "' matches no linear module of " + model.name, "target_modules",
                   known_targets(model));
}

std::vector<ModuleId> named(const Architecture& model, const std::vector<std::string>& targets) {
  std::vector<ModuleId> found = inner_linear_modules(model);
  for (const std::string& target : targets) {
    const bool known =
        std::any_of(found.begin(), found.end(), [&](ModuleId id) { return names(target, model.module(id).name); });
    if (known) continue;
    throw InputError(model.name + " has no linear module '" + target + "' inside of its layers", "--lora-targets",
                     known_targets(model));
  }
  std::erase_if(found, [&](ModuleId id) { return !names_any(targets, model.module(id).name); });
  return found;
}

std::vector<ModuleId> chosen(const Architecture& model, const Peft& peft) {
  if (!peft.target_pattern.empty()) return matching(model, peft.target_pattern);
  if (peft.targets.size() == 1 && peft.targets.front() == "all-linear") return inner_linear_modules(model);
  if (!peft.targets.empty()) return named(model, peft.targets);
  const std::span<const std::string_view> defaults = default_targets(model.dims.family);
  if (defaults.empty()) {
    throw InputError("PEFT has no default targets for the family of " + model.name, "--lora-targets",
                     known_targets(model));
  }
  return named(model, {defaults.begin(), defaults.end()});
}

void check_layers(const Architecture& model, const Peft& peft) {
  for (const std::int64_t layer : peft.layers) {
    if (layer < model.dims.layers) continue;
    throw InputError(model.name + " has no decoder layer " + std::to_string(layer), "layers_to_transform",
                     "numbers from 0 to " + std::to_string(model.dims.layers - 1));
  }
}

}  // namespace

std::vector<ModuleId> inner_linear_modules(const Architecture& model) {
  std::vector<ModuleId> found;
  for (std::size_t i = 0; i < model.modules.size(); ++i) {
    if (is_inner_linear(model.modules[i])) found.emplace_back(i);
  }
  return found;
}

std::vector<ModuleId> target_modules(const Architecture& model, const Peft& peft) {
  check_layers(model, peft);
  std::vector<ModuleId> found = chosen(model, peft);
  if (!peft.excluded_pattern.empty()) {
    const std::regex unwanted = expression(peft.excluded_pattern, "exclude_modules");
    std::erase_if(found, [&](ModuleId id) { return std::regex_match(model.module(id).name, unwanted); });
  }
  std::erase_if(found, [&](ModuleId id) {
    const Module& module = model.module(id);
    const bool in_layers =
        peft.layers.empty() || std::find(peft.layers.begin(), peft.layers.end(), module.layer) != peft.layers.end();
    return !in_layers || names_any(peft.excluded, module.name);
  });
  if (!found.empty()) return found;
  throw InputError("no linear module of " + model.name + " is left",
                   "target_modules, exclude_modules, layers_to_transform", known_targets(model));
}

AdapterRanks::AdapterRanks(const Peft& peft) : otherwise_(peft.rank) {
  constexpr std::size_t most = 1000;
  if (peft.rank_pattern.size() > most) {
    throw InputError(fmt::format("{} expressions name ranks", peft.rank_pattern.size()), "rank_pattern",
                     fmt::format("at most {}", most));
  }
  for (const auto& [pattern, rank] : peft.rank_pattern) {
    patterns_.emplace_back(expression("(.*\\.)?(" + pattern + ")", "rank_pattern"), rank);
  }
}

std::int64_t AdapterRanks::of(std::string_view module) const {
  const auto fits = [&](const auto& pattern) { return std::regex_match(module.begin(), module.end(), pattern.first); };
  const auto found = std::find_if(patterns_.begin(), patterns_.end(), fits);
  return found == patterns_.end() ? otherwise_ : found->second;
}

std::span<const std::string_view> default_targets(Family family) {
  static constexpr std::array<std::string_view, 2> query_and_value = {"q_proj", "v_proj"};
  static constexpr std::array<std::string_view, 1> conv1d = {"c_attn"};
  static constexpr std::array<std::string_view, 1> fused = {"query_key_value"};
  static constexpr std::array<std::string_view, 1> mpt = {"Wqkv"};
  switch (family) {
    case Family::gpt2:
      return conv1d;
    case Family::gpt_neox:
    case Family::falcon:
    case Family::bloom:
      return fused;
    case Family::mpt:
      return mpt;
    case Family::qwen3_moe:
    case Family::phi3:
    case Family::deepseek_v3:
      return {};
    default:
      return query_and_value;
  }
}

}  // namespace shardsim
