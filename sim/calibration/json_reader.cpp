#include "sim/calibration/json_reader.hpp"

#include <fmt/format.h>

#include <cmath>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/request/settings.hpp"

namespace shardsim {

JsonReader::JsonReader(const std::string& text, std::string file)
    : file_(std::move(file)), document_(parse_json_settings(text, file_)) {}

std::string JsonReader::place(const std::string& where, const std::string& key) const {
  return file_ + ": " + (where.empty() ? "" : where + ".") + key;
}

void JsonReader::only(const Json& object, const std::string& where, const std::vector<std::string>& known) const {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw_unknown_name("key", key, place(where, key), known);
    }
  }
}

const JsonReader::Json& JsonReader::need(const Json& object, const std::string& key, const std::string& where) const {
  if (!object.contains(key)) throw InputError("no '" + key + "'", place(where, key), "a value");
  return object[key];
}

std::string JsonReader::text(const Json& object, const std::string& key, const std::string& where) const {
  const Json& value = need(object, key, where);
  if (!value.is_string()) throw InputError(value.dump() + " is no text", place(where, key), "a text");
  return value.get<std::string>();
}

double JsonReader::positive(const Json& object, const std::string& key, const std::string& where, double most) const {
  const Json& value = need(object, key, where);
  const bool right = value.is_number() && value.get<double>() > 0 && value.get<double>() <= most;
  if (!right) {
    throw InputError(value.dump() + " is no measurement", place(where, key),
                     fmt::format("a number above 0, up to {:g}", most));
  }
  return value.get<double>();
}

std::int64_t JsonReader::whole(const Json& object, const std::string& key, const std::string& where,
                               double most) const {
  const double value = positive(object, key, where, most);
  if (value != std::floor(value)) {
    throw InputError(need(object, key, where).dump() + " is no count", place(where, key), "a whole number from 1 up");
  }
  return static_cast<std::int64_t>(value);
}

const JsonReader::Json& JsonReader::list_of_objects(const std::string& key) const {
  const Json& list = document_[key];
  if (!list.is_array()) throw InputError("no list", place("", key), "a list of measurements");
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_object())
      throw InputError("no object", place("", key + "[" + std::to_string(i) + "]"), "an object");
  }
  return list;
}

}  // namespace shardsim
