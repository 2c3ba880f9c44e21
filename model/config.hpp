// One config.json, read key by key: every answer is checked, every refusal names file and key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/core/error.hpp"

namespace shardsim {

class Config {
 public:
  /// Parses a file. Throws InputError where it cannot be read or holds no JSON object.
  static Config read(const std::filesystem::path& path);

  /// Keys with several spellings are asked for by all of them; the first that is there counts. null is absent.
  using Keys = std::initializer_list<std::string_view>;

  bool has(Keys keys) const { return find(keys).value != nullptr; }
  /// There, and null: for keys whose default is not "none".
  bool is_null(std::string_view key) const;
  /// A whole number from 1 to a thousand million ("5e3" is one); required where there is no fallback.
  std::int64_t size(Keys keys) const;
  std::int64_t size(Keys keys, std::int64_t fallback) const;
  /// Likewise, 0 allowed.
  std::int64_t count(Keys keys, std::int64_t fallback) const;
  bool flag(Keys keys, bool fallback) const;
  /// A number from 0 to `most`.
  double number(Keys keys, double fallback, double most) const;
  std::string text(Keys keys, std::string_view fallback) const;
  /// Any value as it is written.
  std::string text_of(std::string_view key, std::string_view fallback) const;
  std::optional<std::vector<std::int64_t>> counts(std::string_view key) const;
  std::optional<std::vector<std::string>> texts(std::string_view key) const;
  /// The object under a key, or an empty one.
  Config object(std::string_view key) const;

  /// Refuses what a key says (or leaves out).
  [[noreturn]] void refuse(std::string_view key, std::string_view what, std::string_view right) const;
  const std::string& file() const { return file_; }

 private:
  struct Found {
    std::string_view key;
    const nlohmann::json* value = nullptr;
  };
  Config(nlohmann::json values, std::string file, std::string prefix)
      : values_(std::move(values)), file_(std::move(file)), prefix_(std::move(prefix)) {}
  Found find(Keys keys) const;
  std::int64_t whole(std::string_view key, const nlohmann::json& value, std::int64_t least) const;

  nlohmann::json values_;
  std::string file_;
  std::string prefix_;  ///< "text_config." inside that object
};

}  // namespace shardsim
