// A settings file of another program, read key by key, so that what nobody asks for can be named.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace shardsim {

/// JSON with `//` comments, at most 1 MiB. Throws InputError with the place of what is malformed, for a key that stands
/// twice in an object (as DeepSpeed does) and for anything but an object.
nlohmann::json read_json_settings(const std::filesystem::path& file, std::string_view option);
/// The same for the text of a file called `name`.
nlohmann::json parse_json_settings(const std::string& text, const std::string& name);
/// YAML as the same values: plain `true`, `false`, `null` and numbers are themselves, all else is text. Merge keys
/// (`<<`) are refused, being resolved by no reader that we know of alike.
nlohmann::json read_yaml_settings(const std::filesystem::path& file, std::string_view option);

/// One object of such a file. A getter marks its key as known and returns nothing where the key is absent, null or
/// "auto"; a value of another kind is an InputError that names the file and the key. Where two names stand for one
/// setting the first one that is there counts.
class Settings {
 public:
  using Keys = std::initializer_list<std::string_view>;

  /// `object` (which may be null: then every key is absent) and `warnings` outlive this.
  Settings(const nlohmann::json& object, std::string where, std::vector<std::string>& warnings);

  bool has(std::string_view key) const;
  bool is_auto(std::string_view key) const;
  /// A whole number, from 0 up; 5e8 is one.
  std::optional<std::int64_t> count(std::string_view key);
  std::optional<std::int64_t> count(Keys names);
  std::optional<double> number(std::string_view key);
  /// true, false, or the words for them.
  std::optional<bool> flag(std::string_view key);
  std::optional<bool> flag(Keys names);
  /// Text; a whole number as its digits, a truth value as "true" or "false".
  std::optional<std::string> word(std::string_view key);
  /// Lower case, one of `known`, else an InputError with the nearest of them.
  std::optional<std::string> one_of(std::string_view key, Keys known);
  /// Texts of a list, or the one text that stands in its place.
  std::vector<std::string> words(std::string_view key);
  bool is_text(std::string_view key) const;
  /// Whole numbers of a list, or the one that stands in its place.
  std::vector<std::int64_t> counts(std::string_view key);
  /// A whole number for each name in a section, by name.
  std::vector<std::pair<std::string, std::int64_t>> counts_by_name(std::string_view key);
  Settings section(std::string_view key);
  std::string where(std::string_view key) const;

  /// Settings without effect on memory or time.
  void skip(Keys names);
  /// Warns that the setting is not simulated unless it has the value `unless`.
  void not_simulated(std::string_view key, const nlohmann::json& unless);
  /// A whole section: warns unless it is absent, empty or says "enabled": false.
  void section_not_simulated(std::string_view key);
  void warn(std::string_view key, std::string_view sentence);
  /// Warns about each key that nobody asked for, with the nearest known ones.
  void warn_of_unknown();

 private:
  /// The value, marked as known; null where absent or null.
  const nlohmann::json* find(std::string_view key) const;
  [[noreturn]] void refuse(std::string_view key, std::string_view right) const;

  const nlohmann::json& object_;
  std::string where_;  ///< "ds.json: zero_optimization."
  std::vector<std::string>& warnings_;
  mutable std::set<std::string, std::less<>> known_;
};

}  // namespace shardsim
