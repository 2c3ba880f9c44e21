// The contract's section 5: keys are only ever added.
#include <nlohmann/json.hpp>

#include "sim/report/json_text.hpp"
#include "sim/validation/validation.hpp"

namespace shardsim {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t shown_worst = 10;

Json quantities_json(const GroupSummary& group) {
  Json object = Json::object();
  for (const auto& [quantity, errors] : group.quantities) {
    object[quantity] = {{"count", errors.count},
                        {"median_absolute_error", errors.median_absolute},
                        {"p90_absolute_error", errors.p90_absolute},
                        {"bias", errors.bias},
                        {"median_error", errors.median}};
  }
  return object;
}

Json oom_json(const OomSummary& oom) {
  return {{"ran_out", oom.ran_out},
          {"foreseen", oom.foreseen},
          {"ran", oom.ran},
          {"called_impossible", oom.called_impossible}};
}

Json group_json(const GroupSummary& group) {
  return {{"runs", group.runs},
          {"not_expressed", group.not_expressed},
          {"quantities", quantities_json(group)},
          {"oom", oom_json(group.oom)}};
}

Json groups_json(const std::vector<GroupSummary>& groups) {
  Json object = Json::object();
  for (const GroupSummary& group : groups) object[group.name] = group_json(group);
  return object;
}

Json to_json(const Validation& validation, const Comparison& comparison) {
  const MeasuredRun& run = validation.measured.runs[comparison.run];
  return {{"id", run.id},
          {"quantity", name_of(comparison.quantity)},
          {"predicted", comparison.predicted},
          {"measured", comparison.measured},
          {"error", comparison.error},
          {"source", run.source},
          {"trust", run.trust}};
}

}  // namespace

std::string render_validation_json(const Validation& validation) {
  Json object;
  object["schema"] = "shardsim.validation/1";
  object["rows"] = Json::array();
  for (const Comparison& comparison : validation.comparisons) {
    object["rows"].push_back(to_json(validation, comparison));
  }
  Json summary = group_json(summarize_all(validation));
  summary["sources"] = groups_json(summarize_by_source(validation));
  summary["trust"] = groups_json(summarize_by_trust(validation));
  summary["worst"] = Json::array();
  for (const std::size_t i : worst(validation, shown_worst)) {
    Json entry = to_json(validation, validation.comparisons[i]);
    entry["terms"] = validation.comparisons[i].terms;
    summary["worst"].push_back(std::move(entry));
  }
  object["summary"] = std::move(summary);
  object["not_expressed"] = Json::array();
  for (const auto& [run, reason] : validation.not_expressed) {
    object["not_expressed"].push_back({{"id", validation.measured.runs[run].id}, {"reason", reason}});
  }
  return json_text(object, 2) + "\n";
}

}  // namespace shardsim
