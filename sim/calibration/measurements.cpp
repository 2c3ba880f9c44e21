#include "sim/calibration/measurements.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/request/settings.hpp"

namespace shardsim {

namespace {

using Json = nlohmann::json;

class Reader {
 public:
  explicit Reader(const std::filesystem::path& file)
      : file_(file.string()), document_(read_json_settings(file, "calibrate")) {}

  Measurements read() {
    only(document_, "",
         {"schema", "device", "source", "memory_bytes", "launch_seconds", "matmul", "elementwise", "steps"});
    Measurements m;
    m.file = file_;
    if (!document_.contains("device")) throw InputError("no 'device'", file_, "the name of the nearest known device");
    m.device = text(document_, "device", "");
    m.source = document_.contains("source") ? text(document_, "source", "") : file_;
    if (document_.contains("memory_bytes")) m.memory_bytes = whole(document_, "memory_bytes", "");
    if (document_.contains("launch_seconds")) m.launch_seconds = positive(document_, "launch_seconds", "");
    each("matmul", {"m", "n", "k", "seconds"}, [&](const Json& entry, const std::string& where) {
      Kernel kernel;
      kernel.kind = KernelKind::matmul;
      kernel.m = whole(entry, "m", where);
      kernel.n = whole(entry, "n", where);
      kernel.k = whole(entry, "k", where);
      kernel.flops = 2 * static_cast<double>(kernel.m) * static_cast<double>(kernel.n) * static_cast<double>(kernel.k);
      m.products.push_back({kernel, positive(entry, "seconds", where)});
    });
    each("elementwise", {"bytes", "seconds"}, [&](const Json& entry, const std::string& where) {
      m.passes.push_back({positive(entry, "bytes", where), positive(entry, "seconds", where)});
    });
    each("steps", {"seconds", "options"}, [&](const Json& entry, const std::string& where) {
      m.steps.push_back({options(entry, where), positive(entry, "seconds", where)});
    });
    return m;
  }

 private:
  std::string place(const std::string& where, const std::string& key) const {
    return file_ + ": " + (where.empty() ? "" : where + ".") + key;
  }

  void only(const Json& object, const std::string& where, const std::vector<std::string>& known) const {
    for (const auto& [key, value] : object.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        throw_unknown_name("key", key, place(where, key), known);
      }
    }
  }

  const Json& need(const Json& object, const std::string& key, const std::string& where) const {
    if (!object.contains(key)) throw InputError("no '" + key + "'", place(where, key), "a value");
    return object[key];
  }

  std::string text(const Json& object, const std::string& key, const std::string& where) const {
    const Json& value = need(object, key, where);
    if (!value.is_string()) throw InputError(value.dump() + " is no text", place(where, key), "a text");
    return value.get<std::string>();
  }

  double positive(const Json& object, const std::string& key, const std::string& where) const {
    const Json& value = need(object, key, where);
    const bool right = value.is_number() && std::isfinite(value.get<double>()) && value.get<double>() > 0;
    if (!right) throw InputError(value.dump() + " is no measurement", place(where, key), "a number above 0");
    return value.get<double>();
  }

  std::int64_t whole(const Json& object, const std::string& key, const std::string& where) const {
    const double value = positive(object, key, where);
    constexpr double most = 1e15;
    if (value != std::floor(value) || value > most) {
      throw InputError(need(object, key, where).dump() + " is no count", place(where, key), "a whole number from 1 up");
    }
    return static_cast<std::int64_t>(value);
  }

  OptionTexts options(const Json& entry, const std::string& where) const {
    const Json& object = need(entry, "options", where);
    if (!object.is_object()) throw InputError("no object", place(where, "options"), "options of simulate");
    OptionTexts texts;
    for (const auto& [key, value] : object.items()) {
      texts[key] = {value.is_string() ? value.get<std::string>() : value.dump(), place(where, "options." + key)};
    }
    return texts;
  }

  template <class Use>
  void each(const std::string& key, const std::vector<std::string>& known, Use use) const {
    if (!document_.contains(key)) return;
    if (!document_[key].is_array()) throw InputError("no list", place("", key), "a list of measurements");
    for (std::size_t i = 0; i < document_[key].size(); ++i) {
      const std::string where = key + "[" + std::to_string(i) + "]";
      const Json& entry = document_[key][i];
      if (!entry.is_object()) throw InputError("no object", file_ + ": " + where, "a measurement");
      only(entry, where, known);
      use(entry, where);
    }
  }

  std::string file_;
  Json document_;
};

}  // namespace

Measurements read_measurements(const std::filesystem::path& file) { return Reader(file).read(); }

}  // namespace shardsim
