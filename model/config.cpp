#include "model/config.hpp"

#include <cmath>

#include "model/core/read_file.hpp"

namespace shardsim {

namespace {

using nlohmann::json;

/// No tensor of any model comes near; products of three such widths are checked where they are formed.
constexpr std::int64_t largest_size = 1'000'000'000;
constexpr int deepest_value = 64;

std::string shown(const json& value) {
  constexpr std::size_t enough = 60;
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > enough) text = text.substr(0, enough) + "...";
  return text;
}

}  // namespace

Config Config::read(const std::filesystem::path& path) {
  const std::string text = read_file(path, {"", "a config.json", settings_limit});
  if (text.empty()) throw InputError("the file holds nothing", path.string(), "a config.json");
  json values;
  // Deeper values would be copied and printed by recursion.
  const auto keeps = [&](int depth, json::parse_event_t, const json&) {
    if (depth > deepest_value) throw InputError("the JSON is nested too deeply", path.string(), "a config.json");
    return true;
  };
  try {
    values = json::parse(text, keeps);
  } catch (const json::exception& fault) {
    throw InputError(std::string("not valid JSON: ") + fault.what(), path.string(), "a complete JSON object");
  }
  if (!values.is_object()) throw InputError("the file holds no JSON object", path.string(), "a config.json");
  return Config(std::move(values), path.string(), "");
}

Config::Found Config::find(Keys keys) const {
  for (const std::string_view key : keys) {
    const auto found = values_.find(key);
    if (found != values_.end() && !found->is_null()) return {key, &*found};
  }
  return {*keys.begin(), nullptr};
}

void Config::refuse(std::string_view key, std::string_view what, std::string_view right) const {
  throw InputError("'" + prefix_ + std::string(key) + "' " + std::string(what), file_, std::string(right));
}

std::int64_t Config::whole(std::string_view key, const json& value, std::int64_t least) const {
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!(number >= static_cast<double>(least) && number <= static_cast<double>(largest_size)) ||
      number != std::floor(number)) {
    refuse(key, "is " + shown(value),
           "a whole number from " + std::to_string(least) + " to " + std::to_string(largest_size));
  }
  return static_cast<std::int64_t>(number);
}

std::int64_t Config::size(Keys keys) const {
  const Found found = find(keys);
  if (found.value == nullptr) refuse(found.key, "is missing", "a positive whole number under that key");
  return whole(found.key, *found.value, 1);
}

std::int64_t Config::size(Keys keys, std::int64_t fallback) const {
  const Found found = find(keys);
  return found.value == nullptr ? fallback : whole(found.key, *found.value, 1);
}

std::int64_t Config::count(Keys keys, std::int64_t fallback) const {
  const Found found = find(keys);
  return found.value == nullptr ? fallback : whole(found.key, *found.value, 0);
}

bool Config::is_null(std::string_view key) const {
  const auto found = values_.find(key);
  return found != values_.end() && found->is_null();
}

bool Config::flag(Keys keys, bool fallback) const {
  const Found found = find(keys);
  if (found.value == nullptr) return fallback;
  if (!found.value->is_boolean()) refuse(found.key, "is " + shown(*found.value), "true or false");
  return found.value->get<bool>();
}

double Config::number(Keys keys, double fallback, double most) const {
  const Found found = find(keys);
  if (found.value == nullptr) return fallback;
  const double number = found.value->is_number() ? found.value->get<double>() : std::nan("");
  if (!(number >= 0 && number <= most)) {
    refuse(found.key, "is " + shown(*found.value), "a number from 0 to " + shown(json(most)));
  }
  return number;
}

std::string Config::text(Keys keys, std::string_view fallback) const {
  const Found found = find(keys);
  if (found.value == nullptr) return std::string(fallback);
  if (!found.value->is_string()) refuse(found.key, "is " + shown(*found.value), "a string");
  return found.value->get<std::string>();
}

std::string Config::text_of(std::string_view key, std::string_view fallback) const {
  const Found found = find({key});
  return found.value == nullptr ? std::string(fallback) : shown(*found.value);
}

std::optional<std::vector<std::int64_t>> Config::counts(std::string_view key) const {
  const Found found = find({key});
  if (found.value == nullptr) return std::nullopt;
  if (!found.value->is_array()) refuse(key, "is " + shown(*found.value), "a list of whole numbers");
  std::vector<std::int64_t> numbers;
  for (const json& element : *found.value) numbers.push_back(whole(key, element, 0));
  return numbers;
}

std::optional<std::vector<std::string>> Config::texts(std::string_view key) const {
  const Found found = find({key});
  if (found.value == nullptr) return std::nullopt;
  std::vector<std::string> strings;
  const bool is_list = found.value->is_array();
  for (const json& element : is_list ? *found.value : json::array()) {
    if (element.is_string()) strings.push_back(element.get<std::string>());
  }
  if (!is_list || strings.size() != found.value->size()) {
    refuse(key, "is " + shown(*found.value), "a list of strings");
  }
  return strings;
}

Config Config::object(std::string_view key) const {
  const Found found = find({key});
  if (found.value == nullptr) return Config(json::object(), file_, prefix_ + std::string(key) + ".");
  if (!found.value->is_object()) refuse(key, "is " + shown(*found.value), "an object");
  return Config(*found.value, file_, prefix_ + std::string(key) + ".");
}

}  // namespace shardsim
