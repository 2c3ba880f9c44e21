#include "sim/search/design_space.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/core/error.hpp"
#include "model/core/parse_units.hpp"
#include "sim/report/json_text.hpp"

namespace shardsim {

namespace {

const OptionText* find(const OptionTexts& texts, const std::string& option) {
  const auto found = texts.find(option);
  return found == texts.end() ? nullptr : &found->second;
}

bool holds(const Condition& condition, const OptionTexts& texts) {
  if (!condition.values.empty()) {
    const OptionText* text = find(texts, condition.options.front());
    if (text == nullptr) return false;
    const bool listed =
        std::find(condition.values.begin(), condition.values.end(), text->value) != condition.values.end();
    return listed != condition.negated;
  }
  double product = 1;
  for (const std::string& option : condition.options) {
    const OptionText* text = find(texts, option);
    if (text == nullptr) return false;
    product *= static_cast<double>(parse_length(text->value, condition.where));
  }
  return product >= condition.least && product <= condition.most;
}

}  // namespace

std::uint64_t DesignSpace::points() const {
  std::uint64_t product = 1;
  for (const Axis& axis : axes) product *= axis.values.size();
  return product;
}

std::vector<const std::string*> DesignSpace::values_at(std::uint64_t index) const {
  std::vector<const std::string*> values(axes.size());
  for (std::size_t a = axes.size(); a-- > 0;) {
    values[a] = &axes[a].values[index % axes[a].values.size()];
    index /= axes[a].values.size();
  }
  return values;
}

OptionTexts DesignSpace::texts_at(std::uint64_t index) const {
  OptionTexts texts = base;
  const std::vector<const std::string*> values = values_at(index);
  for (std::size_t a = 0; a < axes.size(); ++a) {
    texts.insert_or_assign(axes[a].option, OptionText{*values[a], "--" + axes[a].option});
  }
  return texts;
}

bool are_whole(const std::vector<std::string>& values) {
  constexpr std::size_t most_digits = 15;  // exact in a double, too
  return std::all_of(values.begin(), values.end(), [](const std::string& value) {
    return !value.empty() && value.size() <= most_digits && (value == "0" || value.front() != '0') &&
           value.find_first_not_of("0123456789") == std::string::npos;
  });
}

bool DesignSpace::skips(const OptionTexts& texts) const {
  return std::any_of(skip_rules.begin(), skip_rules.end(), [&](const SkipRule& rule) {
    return std::all_of(rule.begin(), rule.end(), [&](const Condition& c) { return holds(c, texts); });
  });
}

std::string DesignSpace::canonical() const {
  nlohmann::json json;
  for (const auto& [option, text] : base) json["base"][option] = text.value;
  for (const Axis& axis : axes) json["axes"].push_back({axis.option, axis.values, axis.is_whole});
  for (const SkipRule& rule : skip_rules) {
    nlohmann::json conditions;
    for (const Condition& c : rule) {
      conditions.push_back({c.options, c.values, c.negated, fmt::format("{}", c.least), fmt::format("{}", c.most)});
    }
    json["skip"].push_back(conditions);
  }
  return json_text(json);
}

}  // namespace shardsim
