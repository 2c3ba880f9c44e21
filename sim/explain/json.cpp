// For programs: schema shardsim.explanation/1 and shardsim.comparison/1.
#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/explain/render.hpp"
#include "sim/report/json_text.hpp"

namespace shardsim {

namespace {

nlohmann::ordered_json json_of(const TensorGroup& group) {
  return {{"name", group.name},     {"count", group.count},   {"bytes_each", group.bytes_each},
          {"bytes", group.bytes()}, {"layers", group.layers}, {"arithmetic", group.arithmetic},
          {"since", group.since},   {"until", group.until}};
}

nlohmann::ordered_json json_of(const std::vector<CategoryExplanation>& categories) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const CategoryExplanation& entry : categories) {
    nlohmann::ordered_json category;
    category["category"] = name_of(entry.category);
    category["bytes"] = entry.bytes;
    category["arithmetic"] = entry.arithmetic;
    category["groups"] = nlohmann::ordered_json::array();
    for (const TensorGroup& group : entry.groups) category["groups"].push_back(json_of(group));
    category["rounding_bytes"] = entry.rounding;
    category["rule"] = entry.rule;
    category["rule_bytes"] = entry.rule.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(entry.rule_bytes);
    category["why"] = entry.why;
    category["source"] = entry.source;
    category["allocated_by"] = entry.allocated_by;
    json.push_back(std::move(category));
  }
  return json;
}

nlohmann::ordered_json json_of(const HostExplanation& host) {
  return {{"id", host.id},
          {"count", host.count},
          {"bytes", host.bytes},
          {"pinned_bytes", host.pinned},
          {"memory", json_of(host.memory)},
          {"rule", host.rule},
          {"rule_bytes", host.rule.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(host.rule_bytes)},
          {"why", host.why},
          {"source", host.source}};
}

}  // namespace

std::string render_json(const Explanation& explanation) {
  nlohmann::ordered_json json;
  json["schema"] = "shardsim.explanation/1";
  json["fits"] = explanation.report.fits;
  json["peak_at"] = explanation.peak_at;
  json["memory"] = json_of(explanation.memory);
  json["hosts"] = nlohmann::ordered_json::array();
  for (const HostExplanation& host : explanation.hosts) json["hosts"].push_back(json_of(host));
  json["largest"] = nlohmann::ordered_json::array();
  for (const TensorGroup& group : explanation.largest) json["largest"].push_back(json_of(group));
  json["step"]["time_s"] = explanation.report.step.time_s;
  json["step"]["rule"] = explanation.time_rule;
  json["step"]["rule_s"] = explanation.time_rule_s;
  json["step"]["work"] = nlohmann::ordered_json::array();
  for (const WorkGroup& work : explanation.work) {
    json["step"]["work"].push_back({{"phase", name_of(work.phase)},
                                    {"name", work.name},
                                    {"stream", work.stream},
                                    {"count", work.count},
                                    {"seconds", work.seconds}});
  }
  json["bottleneck"] = {{"resource", explanation.report.bottleneck.resource},
                        {"share_of_step", explanation.report.bottleneck.share_of_step}};
  json["twice_as_fast"] = nlohmann::ordered_json::array();
  for (const Doubled& doubled : explanation.doubled) {
    json["twice_as_fast"].push_back({{"what", doubled.what}, {"step_s", doubled.step_s}});
  }
  return json_text(json, 2) + "\n";
}

std::string render_json(const ReportComparison& comparison) {
  nlohmann::ordered_json json;
  json["schema"] = "shardsim.comparison/1";
  json["options"] = nlohmann::ordered_json::array();
  for (const DifferentOption& option : comparison.options) {
    json["options"].push_back({{"option", option.name}, {"a", option.values[0]}, {"b", option.values[1]}});
  }
  json["terms"] = nlohmann::ordered_json::array();
  for (const Term& term : comparison.terms) {
    const auto number = [&](double value) {
      return term.quantity == TermUnit::bytes ? nlohmann::ordered_json(std::llround(value))
                                              : nlohmann::ordered_json(value);
    };
    json["terms"].push_back({{"part", term.part},
                             {"name", term.name},
                             {"unit", unit_of(term.quantity)},
                             {"a", number(term.values[0])},
                             {"b", number(term.values[1])},
                             {"difference", number(term.values[1] - term.values[0])}});
  }
  json["peak_at"] = {{"a", comparison.peak_at[0]}, {"b", comparison.peak_at[1]}};
  json["bound_by"] = {{"a", comparison.bound_by[0]}, {"b", comparison.bound_by[1]}};
  json["fits"] = {{"a", comparison.fits[0]}, {"b", comparison.fits[1]}};
  return json_text(json, 2) + "\n";
}

}  // namespace shardsim
