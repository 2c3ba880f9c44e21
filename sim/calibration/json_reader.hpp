// A JSON file of measurements, read key by key; whatever is amiss is refused with the file and the key.
#pragma once

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace shardsim {

class JsonReader {
 public:
  using Json = nlohmann::json;

  /// `text` is what `file` holds. Throws InputError unless it is an object.
  JsonReader(const std::string& text, std::string file);

  const Json& document() const { return document_; }
  const std::string& file() const { return file_; }
  /// "measured.json: matmul[3].seconds"
  std::string place(const std::string& where, const std::string& key) const;

  /// Refuses keys that are not `known`.
  void only(const Json& object, const std::string& where, const std::vector<std::string>& known) const;
  const Json& need(const Json& object, const std::string& key, const std::string& where) const;
  std::string text(const Json& object, const std::string& key, const std::string& where) const;
  /// A number above 0, up to `most`.
  double positive(const Json& object, const std::string& key, const std::string& where, double most = 1e15) const;
  /// A positive whole number.
  std::int64_t whole(const Json& object, const std::string& key, const std::string& where, double most = 1e15) const;
  /// Its "seconds", up to eleven days.
  double seconds(const Json& object, const std::string& where) const { return positive(object, "seconds", where, 1e6); }
  /// A list, each of whose elements is an object: `use(entry, "key[3]")`.
  template <class Use>
  void each(const std::string& key, Use use) const {
    if (!document_.contains(key)) return;
    const Json& list = list_of_objects(key);
    for (std::size_t i = 0; i < list.size(); ++i) use(list[i], key + "[" + std::to_string(i) + "]");
  }

 private:
  const Json& list_of_objects(const std::string& key) const;

  std::string file_;
  Json document_;
};

}  // namespace shardsim
