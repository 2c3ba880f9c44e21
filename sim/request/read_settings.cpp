#include <yaml-cpp/yaml.h>

#include <charconv>
#include <set>

#include "model/core/error.hpp"
#include "model/core/read_file.hpp"
#include "model/core/yaml_problem.hpp"
#include "sim/request/settings.hpp"

namespace shardsim {

namespace {

using Json = nlohmann::json;

constexpr int deepest = 32;
constexpr int most_values = 100'000;  // an alias in YAML can stand for many

[[noreturn]] void refuse_duplicate(const std::string& key, const std::string& where) {
  throw InputError("'" + key + "' stands twice in one section", where, "each key once");
}

/// YAML values as JSON ones.
class YamlReader {
 public:
  explicit YamlReader(std::string where) : where_(std::move(where)) {}

  Json value(const YAML::Node& node, int depth) {
    if (depth > deepest || ++values_ > most_values) {
      throw InputError("the file nests too deep or repeats too much", where_, "a plain file of settings");
    }
    if (node.IsMap()) return object(node, depth);
    if (node.IsSequence()) {
      Json list = Json::array();
      for (const YAML::Node& item : node) list.push_back(value(item, depth + 1));
      return list;
    }
    return node.IsScalar() ? scalar(node) : Json();
  }

 private:
  Json object(const YAML::Node& node, int depth) {
    Json object = Json::object();
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) throw InputError("a key is no word", where_, "key: value");
      const std::string& key = entry.first.Scalar();
      if (key == "<<") throw InputError("merge keys (<<) are not resolved", where_, "the keys written out");
      if (object.contains(key)) refuse_duplicate(key, where_);
      object[key] = value(entry.second, depth + 1);
    }
    return object;
  }

  static Json scalar(const YAML::Node& node) {
    const std::string& text = node.Scalar();
    if (node.Tag() == "!") return text;  // in quotes
    if (text == "true" || text == "True") return true;
    if (text == "false" || text == "False") return false;
    const char* end = text.data() + text.size();
    std::uint64_t whole = 0;
    if (const auto [rest, error] = std::from_chars(text.data(), end, whole); error == std::errc() && rest == end) {
      return whole;
    }
    double number = 0;
    if (const auto [rest, error] = std::from_chars(text.data(), end, number); error == std::errc() && rest == end) {
      return number;
    }
    return text;
  }

  std::string where_;
  int values_ = 0;
};

}  // namespace

Json read_json_settings(const std::filesystem::path& file, std::string_view option) {
  return parse_json_settings(read_file(file, {option, "a file of settings", settings_limit}), file.string());
}

Json parse_json_settings(const std::string& text, const std::string& name) {
  std::vector<std::set<std::string>> open;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > deepest) throw InputError("the file nests too deep", name, "a plain file of settings");
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second) {
      refuse_duplicate(parsed.get<std::string>(), name);
    }
    return true;
  };
  Json object;
  try {
    object = Json::parse(text, watch, true, true);
  } catch (const Json::exception& error) {
    throw InputError("the file is no JSON: " + std::string(error.what()), name, "a JSON object");
  }
  if (!object.is_object()) throw InputError("the file holds no JSON object", name, "{ \"key\": value, ... }");
  return object;
}

Json read_yaml_settings(const std::filesystem::path& file, std::string_view option) {
  const std::string text = read_file(file, {option, "a file of settings", settings_limit});
  const std::string name = file.string();
  Json object;
  try {
    object = YamlReader(name).value(YAML::Load(text), 0);
  } catch (const YAML::Exception& error) {
    throw InputError("malformed YAML: " + yaml_problem(text, error.mark.line, error.msg),
                     name + ":" + std::to_string(error.mark.line + 1), "key: value lines");
  }
  if (!object.is_object()) throw InputError("the file holds no settings", name, "key: value lines");
  return object;
}

}  // namespace shardsim
