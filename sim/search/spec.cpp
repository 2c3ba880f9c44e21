#include "sim/search/spec.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <set>

#include "model/core/error.hpp"
#include "model/core/parse_units.hpp"
#include "model/core/read_file.hpp"
#include "model/core/suggest.hpp"
#include "model/core/yaml_problem.hpp"
#include "sim/request/option_table.hpp"

namespace shardsim {

namespace {

constexpr std::uint64_t most_points = 1'000'000'000;
constexpr std::size_t most_values = 1'000'000;  // of an axis, and of all rules: an alias in YAML can stand for many

class SpecReader {
 public:
  explicit SpecReader(const std::filesystem::path& file) : file_(file.string()) {}

  SweepSpec read() {
    const YAML::Node root = parse();
    for (const auto& entry : mapping(root, "a mapping with base, axes, where and pareto")) {
      const std::string key = text(entry.first);
      if (key == "base") {
        read_base(entry.second);
      } else if (key == "axes") {
        read_axes(entry.second);
      } else if (key != "where" && key != "pareto") {
        throw_unknown_name("section", key, at(entry.first),
                           std::array<std::string, 4>{"base", "axes", "where", "pareto"});
      }
    }
    check_axes();
    if (root["where"]) read_rules(root["where"]);
    read_pareto(root["pareto"]);
    return std::move(spec_);
  }

 private:
  YAML::Node parse() const {
    const std::string text =
        read_file(file_, {"sweep", "a readable YAML file (see shardsim sweep --help)", settings_limit});
    try {
      return YAML::Load(text);
    } catch (const YAML::Exception& problem) {
      throw InputError("malformed YAML: " + yaml_problem(text, problem.mark.line, problem.msg),
                       fmt::format("{}:{}", file_, problem.mark.line + 1),
                       "base: and axes: as shardsim sweep --help shows them");
    }
  }

  std::string at(const YAML::Node& node) const { return fmt::format("{}:{}", file_, node.Mark().line + 1); }

  const YAML::Node& mapping(const YAML::Node& node, const std::string& right) const {
    if (!node.IsMap()) throw InputError("this is no mapping", at(node), right);
    return node;
  }

  std::string text(const YAML::Node& node) const {
    if (!node.IsScalar()) throw InputError("this is no single value", at(node), "a name or a number");
    return node.Scalar();
  }

  std::string option_name(const YAML::Node& node) const { return option_name(text(node), at(node)); }

  /// An option of simulate that says something about the simulation.
  std::string option_name(const std::string& name, const std::string& where) const {
    static const std::set<std::string, std::less<>> others = {"format",   "output", "quiet",          "verbose",
                                                              "no-color", "config", "threads",        "seed",
                                                              "help",     "trace",  "memory-snapshot"};
    std::vector<std::string> known = option_names();
    std::erase_if(known, [&](const std::string& option) { return others.contains(option); });
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw_unknown_name("option", name, where, known);
    }
    return name;
  }

  void read_base(const YAML::Node& node) {
    for (const auto& entry : mapping(node, "options, such as base: {model: llama-2-7b}")) {
      const std::string option = option_name(entry.first);
      if (!spec_.space.base.emplace(option, OptionText{text(entry.second), at(entry.second) + ", " + option}).second) {
        throw InputError("'" + option + "' stands twice", at(entry.first), "each option once");
      }
    }
  }

  void read_axes(const YAML::Node& node) {
    for (const auto& entry : mapping(node, "options and their values, such as axes: {micro-batch: [1, 2, 4]}")) {
      Axis axis{option_name(entry.first), axis_values(entry.second), at(entry.first)};
      std::set<std::string> different(axis.values.begin(), axis.values.end());
      if (different.size() < axis.values.size()) {
        throw InputError("a value of '" + axis.option + "' stands twice", axis.where, "each value once");
      }
      axis.is_whole = are_whole(axis.values);
      spec_.space.axes.push_back(std::move(axis));
      check_points();
    }
  }

  /// After each axis, before the next one takes memory.
  void check_points() const {
    double points = 1;
    for (const Axis& axis : spec_.space.axes) points *= static_cast<double>(axis.values.size());
    if (points > static_cast<double>(most_points)) {
      throw InputError(fmt::format("the axes make {:.3g} points", points), file_, "at most a billion");
    }
  }

  std::vector<std::string> axis_values(const YAML::Node& node) const {
    if (node.IsMap()) return range_values(node);
    std::vector<std::string> values;
    if (node.IsScalar()) values.push_back(node.Scalar());
    if (node.IsSequence()) {
      for (const YAML::Node& value : node) values.push_back(text(value));
    }
    if (values.empty()) throw InputError("this axis has no values", at(node), "a list or a range of values");
    return values;
  }

  std::vector<std::string> range_values(const YAML::Node& node) const {
    for (const auto& entry : node) {
      const std::string key = text(entry.first);
      const std::array<std::string, 4> known{"from", "to", "step", "times"};
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        throw_unknown_name("key of a range", key, at(entry.first), known);
      }
    }
    if (!node["from"] || !node["to"] || (node["step"] && node["times"])) {
      throw InputError("this is no range", at(node), "from and to, and step or times");
    }
    const auto number = [&](const char* key, std::int64_t otherwise) {
      return node[key] ? parse_length(text(node[key]), at(node[key])) : otherwise;
    };
    const std::int64_t to = number("to", 0), step = number("step", 1), times = number("times", 1);
    if ((node["times"] && times < 2) || step < 1) {
      throw InputError("this range never ends", at(node), "step from 1 up, times from 2 up");
    }
    std::vector<std::string> values;
    for (std::int64_t value = number("from", 1); value <= to; value = node["times"] ? value * times : value + step) {
      if (values.size() == most_values || (node["times"] && value == 0)) {
        throw InputError("this range is too long", at(node), "at most a million values, from 1 up");
      }
      values.push_back(fmt::format("{}", value));
    }
    if (values.empty()) throw InputError("this range is empty", at(node), "a 'to' that is not below 'from'");
    return values;
  }

  void check_axes() const {
    if (spec_.space.axes.empty()) {
      throw InputError("the sweep has no axes", file_, "axes: with at least one option and its values");
    }
    std::set<std::string> seen;
    for (const Axis& axis : spec_.space.axes) {
      if (!seen.insert(axis.option).second || spec_.space.base.contains(axis.option)) {
        throw InputError("'" + axis.option + "' is said twice", axis.where, "in the base or in one axis");
      }
    }
  }

  bool is_said(const std::string& option) const {
    const auto is_axis = [&](const Axis& axis) { return axis.option == option; };
    const std::vector<Axis>& axes = spec_.space.axes;
    return spec_.space.base.contains(option) || std::any_of(axes.begin(), axes.end(), is_axis);
  }

  void read_rules(const YAML::Node& node) {
    if (!node.IsSequence()) {
      throw InputError("the rules are no list", at(node),
                       "- option: values, a rule each: points that meet it are left out");
    }
    std::size_t values = 0;
    for (const YAML::Node& rule : node) {
      SkipRule conditions;
      for (const auto& entry : mapping(rule, "option: values")) {
        conditions.push_back(condition(entry.first, entry.second));
        values += conditions.back().options.size() + conditions.back().values.size();
        if (values > most_values) throw InputError("the rules are too many", at(rule), "at most a million values");
      }
      if (conditions.empty()) throw InputError("this rule would leave out everything", at(rule), "option: values");
      spec_.space.skip_rules.push_back(std::move(conditions));
    }
  }

  Condition condition(const YAML::Node& key, const YAML::Node& value) const {
    Condition condition;
    condition.where = at(key);
    const std::string product = text(key);
    for (std::size_t begin = 0; begin <= product.size();) {
      const std::size_t end = std::min(product.find('*', begin), product.size());
      std::string name = product.substr(begin, end - begin);
      name.erase(std::remove(name.begin(), name.end(), ' '), name.end());
      condition.options.push_back(option_name(name, condition.where));
      if (!is_said(name)) {
        throw InputError("'" + name + "' is neither in the base nor an axis", condition.where,
                         "an option that the sweep sets");
      }
      begin = end + 1;
    }
    if (value.IsSequence()) {
      for (const YAML::Node& one : value) condition.values.push_back(text(one));
      if (condition.values.empty()) throw InputError("this condition never holds", at(value), "values");
    } else {
      set_comparison(condition, value);
    }
    if (!condition.values.empty() && condition.options.size() > 1) {
      throw InputError("a product is compared by <, <=, > or >=", condition.where,
                       "such as micro-batch * seq-len: \"> 16k\"");
    }
    return condition;
  }

  void set_comparison(Condition& condition, const YAML::Node& value) const {
    const std::string whole = text(value);
    for (const std::string_view sign : {"<=", ">=", "!=", "<", ">"}) {
      if (!whole.starts_with(sign)) continue;
      std::string rest = whole.substr(sign.size());
      rest.erase(0, rest.find_first_not_of(' '));
      if (sign == "!=") {
        condition.negated = true;
        condition.values.push_back(rest);
        return;
      }
      const double bound = static_cast<double>(parse_length(rest, at(value)));
      if (sign == "<=") condition.most = bound;
      if (sign == "<") condition.most = bound - 0.5;
      if (sign == ">=") condition.least = bound;
      if (sign == ">") condition.least = bound + 0.5;
      check_numbers(condition);
      return;
    }
    condition.values.push_back(whole);
  }

  /// What is compared must be numbers at every point.
  void check_numbers(const Condition& condition) const {
    for (const std::string& option : condition.options) {
      if (const auto text = spec_.space.base.find(option); text != spec_.space.base.end()) {
        parse_length(text->second.value, text->second.where);
      }
      for (const Axis& axis : spec_.space.axes) {
        if (axis.option != option) continue;
        for (const std::string& value : axis.values) parse_length(value, axis.where + ", " + option);
      }
    }
  }

  void read_pareto(const YAML::Node& node) {
    if (!node) {
      for (const char* name : {"memory", "step-time"}) spec_.pareto.push_back(find_objective(name, ""));
      return;
    }
    for (const std::string& name : axis_values(node)) spec_.pareto.push_back(find_objective(name, at(node)));
  }

  std::string file_;
  SweepSpec spec_;
};

}  // namespace

SweepSpec read_sweep_spec(const std::filesystem::path& file) { return SpecReader(file).read(); }

}  // namespace shardsim
