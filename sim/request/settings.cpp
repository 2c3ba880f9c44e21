#include "sim/request/settings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"

namespace shardsim {

namespace {

constexpr double largest_exact_whole = 9007199254740992.0;  // 2^53

bool says_auto(const nlohmann::json& value) {
  return value.is_string() && value.get_ref<const std::string&>() == "auto";
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

Settings::Settings(const nlohmann::json& object, std::string where, std::vector<std::string>& warnings)
    : object_(object), where_(std::move(where)), warnings_(warnings) {}

const nlohmann::json* Settings::find(std::string_view key) const {
  known_.emplace(key);
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool Settings::has(std::string_view key) const { return find(key) != nullptr; }

bool Settings::is_auto(std::string_view key) const {
  const nlohmann::json* value = find(key);
  return value != nullptr && says_auto(*value);
}

std::string Settings::where(std::string_view key) const { return where_ + std::string(key); }

void Settings::refuse(std::string_view key, std::string_view right) const {
  const auto replace = nlohmann::json::error_handler_t::replace;
  throw InputError(fmt::format("{} is no right value", find(key)->dump(-1, ' ', false, replace)), where(key),
                   std::string(right));
}

std::optional<std::int64_t> Settings::count(std::string_view key) {
  const nlohmann::json* value = find(key);
  if (value == nullptr || says_auto(*value)) return {};
  if (value->is_number_float()) {
    const double number = value->get<double>();
    if (number >= 0 && number <= largest_exact_whole && number == std::floor(number)) {
      return static_cast<std::int64_t>(number);
    }
  } else if (value->is_number_unsigned() && value->get<std::uint64_t>() <= std::uint64_t{1} << 53) {
    return value->get<std::int64_t>();
  }
  refuse(key, "a whole number from 0 up");
}

std::optional<std::int64_t> Settings::count(Keys names) {
  std::optional<std::int64_t> first;
  for (const std::string_view name : names) {
    const std::optional<std::int64_t> value = count(name);
    if (!first) first = value;
  }
  return first;
}

std::optional<double> Settings::number(std::string_view key) {
  const nlohmann::json* value = find(key);
  if (value == nullptr || says_auto(*value)) return {};
  if (!value->is_number() || !std::isfinite(value->get<double>())) refuse(key, "a number");
  return value->get<double>();
}

std::optional<bool> Settings::flag(std::string_view key) {
  const nlohmann::json* value = find(key);
  if (value == nullptr || says_auto(*value)) return {};
  if (value->is_boolean()) return value->get<bool>();
  if (value->is_string()) {
    const std::string text = lower(value->get<std::string>());
    if (text == "true" || text == "yes" || text == "on") return true;
    if (text == "false" || text == "no" || text == "off") return false;
  }
  refuse(key, "true or false");
}

std::optional<bool> Settings::flag(Keys names) {
  std::optional<bool> first;
  for (const std::string_view name : names) {
    const std::optional<bool> value = flag(name);
    if (!first) first = value;
  }
  return first;
}

std::optional<std::string> Settings::word(std::string_view key) {
  const nlohmann::json* value = find(key);
  if (value == nullptr || says_auto(*value)) return {};
  if (value->is_string()) return value->get<std::string>();
  if (value->is_boolean()) return value->get<bool>() ? "true" : "false";
  if (value->is_number_integer()) return value->dump();
  refuse(key, "a word");
}

std::optional<std::string> Settings::one_of(std::string_view key, Keys known) {
  std::optional<std::string> text = word(key);
  if (!text) return {};
  *text = lower(*text);
  if (std::find(known.begin(), known.end(), *text) != known.end()) return text;
  throw_unknown_name(key, *text, where(key), std::vector<std::string>(known.begin(), known.end()));
}

std::vector<std::string> Settings::words(std::string_view key) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return {};
  if (value->is_string()) return {value->get<std::string>()};
  std::vector<std::string> texts;
  if (!value->is_array()) refuse(key, "a list of names");
  for (const nlohmann::json& item : *value) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty()) refuse(key, "a list of names");
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

bool Settings::is_text(std::string_view key) const {
  const nlohmann::json* value = find(key);
  return value != nullptr && value->is_string();
}

std::vector<std::int64_t> Settings::counts(std::string_view key) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return {};
  const nlohmann::json one = nlohmann::json::array({*value});
  std::vector<std::int64_t> numbers;
  for (const nlohmann::json& item : value->is_array() ? *value : one) {
    if (!item.is_number_unsigned() || item.get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
      refuse(key, "whole numbers from 0 up");
    }
    numbers.push_back(item.get<std::int64_t>());
  }
  return numbers;
}

std::vector<std::pair<std::string, std::int64_t>> Settings::counts_by_name(std::string_view key) {
  const nlohmann::json* value = find(key);
  std::vector<std::pair<std::string, std::int64_t>> numbers;
  if (value == nullptr) return numbers;
  if (!value->is_object()) refuse(key, "a whole number for each name");
  Settings each = section(key);
  for (const auto& item : value->items()) {
    const std::optional<std::int64_t> number = each.count(item.key());
    if (!number) refuse(key, "a whole number for each name");
    numbers.emplace_back(item.key(), *number);
  }
  return numbers;
}

Settings Settings::section(std::string_view key) {
  static const nlohmann::json absent;
  const nlohmann::json* value = find(key);
  if (value == nullptr || says_auto(*value)) return {absent, where(key) + ".", warnings_};
  if (!value->is_object()) refuse(key, "a section of settings");
  return {*value, where(key) + ".", warnings_};
}

void Settings::skip(Keys names) { known_.insert(names.begin(), names.end()); }

void Settings::warn(std::string_view key, std::string_view sentence) {
  warnings_.push_back(fmt::format("{}: {}", where(key), sentence));
}

void Settings::not_simulated(std::string_view key, const nlohmann::json& unless) {
  const nlohmann::json* value = find(key);
  if (value != nullptr && !says_auto(*value) && *value != unless) warn(key, "this setting is not simulated");
}

void Settings::section_not_simulated(std::string_view key) {
  const nlohmann::json* value = find(key);
  if (value == nullptr || value->empty() || *value == false) return;
  if (value->is_object()) {
    const auto enabled = value->find("enabled");
    if (enabled != value->end() && *enabled == false) return;
  }
  warn(key, "this section is not simulated");
}

void Settings::warn_of_unknown() {
  if (!object_.is_object()) return;
  constexpr std::size_t most_named = 20;
  const std::vector<std::string> names(known_.begin(), known_.end());
  std::vector<std::string> unknown;
  for (const auto& [key, value] : object_.items()) {
    if (!known_.contains(key)) unknown.push_back(key);
  }
  for (std::size_t i = 0; i < std::min(unknown.size(), most_named); ++i) {
    warn(unknown[i],
         fmt::format("unknown key, ignored; the nearest known: {}", fmt::join(nearest_names(unknown[i], names), ", ")));
  }
  if (unknown.size() > most_named) {
    warn(unknown[most_named], fmt::format("unknown key, ignored, as are {} more", unknown.size() - most_named - 1));
  }
}

}  // namespace shardsim
