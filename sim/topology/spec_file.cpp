#include "sim/topology/spec_file.hpp"

#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cmath>

#include "model/core/error.hpp"
#include "model/core/parse_units.hpp"
#include "model/core/read_file.hpp"
#include "model/core/yaml_problem.hpp"

namespace shardsim {

/// Walks the YAML once; everything after works on plain maps.
struct SpecFileReader {
  SpecFile& file;
  int values = 0;

  [[noreturn]] void refuse(const std::string& what, const std::string& key, const YAML::Node& node,
                           const std::string& right) const {
    const int line = node.Mark().line + 1;
    throw InputError(what, file.file_ + ":" + std::to_string(line) + ": " + key, right);
  }

  Basis basis(const YAML::Node& node, const std::string& key) const {
    const std::string text = node["basis"] && node["basis"].IsScalar() ? node["basis"].Scalar() : "";
    if (text == "datasheet") return Basis::datasheet;
    if (text == "measured") return Basis::measured;
    if (text == "assumed") return Basis::assumed;
    refuse("the figure has no known basis", key, node, "basis: datasheet, measured or assumed");
  }

  void figure(const std::string& key, const YAML::Node& node) const {
    Figure result;
    result.basis = basis(node, key);
    if (!node["source"] || !node["source"].IsScalar() || node["source"].Scalar().empty()) {
      refuse("the figure has no source", key, node, "source: where the number comes from");
    }
    for (const auto& entry : node) {
      const std::string& name = entry.first.Scalar();
      if (name != "value" && name != "basis" && name != "source") {
        refuse("unknown key '" + name + "'", key, entry.first, "value, basis and source");
      }
    }
    const YAML::Node value = node["value"];
    if (value.IsScalar()) {
      result.value = value.Scalar();
    } else {
      for (const YAML::Node& point : value) {
        if (!point.IsSequence() || point.size() != 2)
          refuse("not a point", key, point, "[log10 of the work, fraction]");
        try {
          result.points.emplace_back(point[0].as<double>(), point[1].as<double>());
        } catch (const YAML::Exception&) {
          refuse("not a point of two numbers", key, point, "[log10 of the work, fraction]");
        }
      }
    }
    file.figures_[key] = result;
  }

  /// An alias can stand for many values, and for what it stands in.
  void walk(const std::string& key, const YAML::Node& node, int depth) {
    constexpr int deepest = 4, most_values = 10'000;
    if (depth > deepest || ++values > most_values) {
      throw InputError("the file nests too deep or repeats too much", file.file_,
                       "at most " + std::to_string(deepest) + " levels and " + std::to_string(most_values) + " keys");
    }
    if (node.IsScalar()) {
      file.texts_[key] = node.Scalar();
    } else if (node.IsSequence()) {
      std::vector<std::string>& list = file.lists_[key];
      for (const YAML::Node& item : node) {
        if (!item.IsScalar()) refuse("the list holds something that is no name", key, item, "a list of names");
        list.push_back(item.Scalar());
      }
    } else if (node.IsMap() && node["value"]) {
      figure(key, node);
    } else if (node.IsMap()) {
      for (const auto& entry : node) {
        if (!entry.first.IsScalar()) refuse("a key is no name", key, entry.first, "a name");
        walk(key.empty() ? entry.first.Scalar() : key + "." + entry.first.Scalar(), entry.second, depth + 1);
      }
    } else {
      refuse("the key has no value", key, node, "a value");
    }
  }
};

SpecFile::SpecFile(const std::filesystem::path& path) : file_(path.string()) {
  const std::string text = read_file(path, {"", "a readable YAML file", settings_limit});
  try {
    const YAML::Node root = YAML::Load(text);
    if (!root.IsMap()) throw InputError("the file holds no keys", file_, "YAML such as 'kind: gpu'");
    SpecFileReader{*this}.walk("", root, 0);
  } catch (const YAML::Exception& error) {
    throw InputError("malformed YAML: " + yaml_problem(text, error.mark.line, error.msg),
                     file_ + ":" + std::to_string(error.mark.line + 1), "valid YAML");
  }
}

const std::string& SpecFile::text(const std::string& key) const {
  read_.insert(key);
  const auto found = texts_.find(key);
  if (found == texts_.end()) throw InputError("the key '" + key + "' is missing", file_, key + ": and its value");
  return found->second;
}

const std::vector<std::string>& SpecFile::list(const std::string& key) const {
  static const std::vector<std::string> none;
  read_.insert(key);
  const auto found = lists_.find(key);
  return found == lists_.end() ? none : found->second;
}

const Figure& SpecFile::figure(const std::string& key) const {
  read_.insert(key);
  const auto found = figures_.find(key);
  if (found == figures_.end()) {
    throw InputError("the figure '" + key + "' is missing", file_, key + ": {value: ..., basis: ..., source: ...}");
  }
  return found->second;
}

Bytes SpecFile::bytes(const std::string& key) const { return parse_bytes(figure(key).value, where(key)); }

Bandwidth SpecFile::bandwidth(const std::string& key) const {
  const Bandwidth result = parse_bandwidth(figure(key).value, where(key));
  if (result.bytes_per_second <= 0) throw InputError("the bandwidth is zero", where(key), "more than 0 GB/s");
  return result;
}

Time SpecFile::time(const std::string& key) const { return parse_time(figure(key).value, where(key)); }
FlopRate SpecFile::flop_rate(const std::string& key) const { return parse_flop_rate(figure(key).value, where(key)); }

double SpecFile::number(const std::string& key, double least, double most) const {
  const std::string& text = figure(key).value;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= least && value <= most)) {
    throw InputError("'" + text + "' is no usable number", where(key),
                     "a number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return value;
}

bool SpecFile::flag(const std::string& key) const {
  const std::string& text = figure(key).value;
  if (text != "true" && text != "false") throw InputError("'" + text + "' is no flag", where(key), "true or false");
  return text == "true";
}

std::vector<EfficiencyPoint> SpecFile::curve(const std::string& key) const {
  std::vector<EfficiencyPoint> curve;
  for (const auto& [work, fraction] : figure(key).points) {
    const bool ascends = curve.empty() || work > curve.back().log10_work;
    if (!std::isfinite(work) || !ascends || !(fraction > 0 && fraction <= 1)) {
      throw InputError("the curve is malformed", where(key), "points of ascending work and fractions in (0, 1]");
    }
    curve.push_back({work, fraction});
  }
  if (curve.empty()) throw InputError("the curve has no points", where(key), "value: [[work, fraction], ...]");
  return curve;
}

std::vector<std::string> SpecFile::groups() const {
  std::set<std::string> names;
  for (const auto& [key, unused] : texts_) names.insert(key.substr(0, key.find('.')));
  for (const auto& [key, unused] : figures_) names.insert(key.substr(0, key.find('.')));
  return {names.begin(), names.end()};
}

void SpecFile::refuse_unread() const {
  const auto check = [this](const auto& map) {
    for (const auto& [key, unused] : map) {
      if (!read_.contains(key))
        throw InputError("unknown key '" + key + "'", file_, "a key that this kind of file has");
    }
  };
  check(texts_);
  check(lists_);
  check(figures_);
}

void SpecFile::inherit(const SpecFile& base, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    const auto found = base.figures_.find(key);
    if (found != base.figures_.end()) figures_.try_emplace(key, found->second);
  }
}

void SpecFile::inherit(const SpecFile& base) {
  texts_.insert(base.texts_.begin(), base.texts_.end());
  lists_.insert(base.lists_.begin(), base.lists_.end());
  figures_.insert(base.figures_.begin(), base.figures_.end());
}

}  // namespace shardsim
