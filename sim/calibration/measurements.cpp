#include "sim/calibration/measurements.hpp"

#include <algorithm>

#include "model/core/error.hpp"
#include "model/core/read_file.hpp"
#include "model/core/suggest.hpp"
#include "sim/calibration/json_reader.hpp"
#include "sim/calibration/nccl_tests.hpp"
#include "sim/calibration/nvbandwidth.hpp"

namespace shardsim {

namespace {

using Json = nlohmann::json;

OptionTexts options(const JsonReader& json, const Json& entry, const std::string& where) {
  const Json& object = json.need(entry, "options", where);
  if (!object.is_object()) throw InputError("no object", json.place(where, "options"), "options of simulate");
  OptionTexts texts;
  for (const auto& [key, value] : object.items()) {
    texts[key] = {value.is_string() ? value.get<std::string>() : value.dump(), json.place(where, "options." + key)};
  }
  return texts;
}

/// "host" or a GPU's number.
std::optional<std::size_t> end_of_copy(const JsonReader& json, const Json& entry, const std::string& key,
                                       const std::string& where) {
  const Json& value = json.need(entry, key, where);
  if (value == "host") return std::nullopt;
  if (value.is_number_unsigned()) return value.get<std::size_t>();
  throw InputError(value.dump() + " is no end of a copy", json.place(where, key), "\"host\" or the number of a GPU");
}

TimedCopy copy(const JsonReader& json, const Json& entry, const std::string& where) {
  json.only(entry, where, {"from", "to", "bytes", "seconds"});
  const TimedCopy copy{end_of_copy(json, entry, "from", where), end_of_copy(json, entry, "to", where),
                       json.positive(entry, "bytes", where), json.seconds(entry, where)};
  if (copy.from == copy.to) throw InputError("it ends where it begins", json.place("", where), "two ends");
  return copy;
}

TimedCollective collective(const JsonReader& json, const Json& entry, const std::string& where) {
  json.only(entry, where, {"collective", "ranks", "nodes", "bytes", "seconds"});
  TimedCollective made;
  const std::string name = json.text(entry, "collective", where);
  if (name == "all_gather") {
    made.kind = CollectiveKind::all_gather;
  } else if (name == "reduce_scatter") {
    made.kind = CollectiveKind::reduce_scatter;
  } else if (name != "all_reduce") {
    const std::vector<std::string> known = {"all_reduce", "all_gather", "reduce_scatter"};
    throw_unknown_name("collective", name, json.place(where, "collective"), known);
  }
  made.ranks = json.whole(entry, "ranks", where);
  if (entry.contains("nodes")) made.nodes = json.whole(entry, "nodes", where);
  made.bytes = json.positive(entry, "bytes", where);
  made.seconds = json.seconds(entry, where);
  return made;
}

Measurements ours(const JsonReader& json) {
  const Json& document = json.document();
  json.only(document, "",
            {"schema", "device", "source", "memory_bytes", "launch_seconds", "matmul", "elementwise", "steps", "copies",
             "collectives"});
  Measurements m;
  if (!document.contains("device")) {
    throw InputError("no 'device'", json.file(), "the name of the nearest known device");
  }
  m.device = json.text(document, "device", "");
  if (document.contains("source")) m.source = json.text(document, "source", "");
  if (document.contains("memory_bytes")) m.memory_bytes = json.whole(document, "memory_bytes", "");
  if (document.contains("launch_seconds")) m.launch_seconds = json.positive(document, "launch_seconds", "");
  json.each("matmul", [&](const Json& entry, const std::string& where) {
    json.only(entry, where, {"m", "n", "k", "seconds"});
    Kernel kernel;
    kernel.kind = KernelKind::matmul;
    kernel.m = json.whole(entry, "m", where);
    kernel.n = json.whole(entry, "n", where);
    kernel.k = json.whole(entry, "k", where);
    kernel.flops = 2 * static_cast<double>(kernel.m) * static_cast<double>(kernel.n) * static_cast<double>(kernel.k);
    m.products.push_back({kernel, json.seconds(entry, where)});
  });
  json.each("elementwise", [&](const Json& entry, const std::string& where) {
    json.only(entry, where, {"bytes", "seconds"});
    m.passes.push_back({json.positive(entry, "bytes", where), json.seconds(entry, where)});
  });
  json.each("steps", [&](const Json& entry, const std::string& where) {
    json.only(entry, where, {"seconds", "options"});
    m.steps.push_back({options(json, entry, where), json.seconds(entry, where)});
  });
  json.each("copies",
            [&](const Json& entry, const std::string& where) { m.copies.push_back(copy(json, entry, where)); });
  json.each("collectives", [&](const Json& entry, const std::string& where) {
    m.collectives.push_back(collective(json, entry, where));
  });
  return m;
}

Measurements read(const std::string& text, const std::string& file) {
  if (is_nccl_listing(text)) return read_nccl_listing(text, file);
  const JsonReader json(text, file);
  if (is_nccl_json(json)) return read_nccl_json(json);
  if (is_nvbandwidth(json)) return read_nvbandwidth(json);
  return ours(json);
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Measurements read_measurements(const std::filesystem::path& file) {
  Measurements m = read(read_file(file, {"calibrate", "a file of measurements", table_limit}), file.string());
  m.file = file.string();
  if (m.source.empty()) m.source = m.file;
  return m;
}

}  // namespace shardsim
