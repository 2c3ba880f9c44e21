#include "sim/request/unsimulated.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <vector>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"

namespace shardsim {

namespace {

using Names = std::vector<std::string>;

/// An option with at most one simulated value; switches are "on" or "off" here, however they are spelled.
struct FixedOption {
  std::string_view name;
  Names simulated;             ///< the one value that is; none: any use is refused
  Names waiting;               ///< values known by name
  bool any_value = false;      ///< other values may be right too (numbers, files, module names)
  std::string_view available;  ///< what to use instead, where `simulated` does not say it
};

const std::vector<FixedOption>& fixed_options() {
  static const std::vector<FixedOption> options = {
      {"trace", {}, {}, true, "--format text, json, csv or markdown"},
      {"memory-snapshot", {}, {}, true, "--format text, json, csv or markdown"},
  };
  return options;
}

bool contains(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void refuse(const FixedOption& option, const OptionText& text) {
  const bool is_switch = contains(option.simulated, "on") || contains(option.simulated, "off");
  const std::string value = !is_switch ? text.value : parse_switch(text) ? "on" : "off";
  if (contains(option.simulated, value)) return;
  const std::string available =
      option.available.empty() ? fmt::format("{}", fmt::join(option.simulated, ", ")) : std::string(option.available);
  const bool known = option.any_value || contains(option.waiting, value);
  if (known) throw_not_simulated(text, available);
  Names names = option.simulated;
  names.insert(names.end(), option.waiting.begin(), option.waiting.end());
  throw_unknown_name(option.name, text.value, text.where, names);
}

}  // namespace

void throw_not_simulated(const OptionText& text, std::string_view available) {
  throw InputError(fmt::format("{} {} is not simulated yet; available: {}", text.where, text.value, available), "", "");
}

void refuse_unsimulated_options(const OptionTexts& texts) {
  for (const FixedOption& option : fixed_options()) {
    if (const auto text = texts.find(option.name); text != texts.end()) refuse(option, text->second);
  }
}

void refuse_waiting_value(std::string_view option, const OptionText& text, std::span<const std::string> available) {
  const bool waiting = option == "format" && text.value == "html";
  if (waiting) throw_not_simulated(text, fmt::format("{}", fmt::join(available, ", ")));
}

}  // namespace shardsim
