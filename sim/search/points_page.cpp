#include "sim/search/points_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "model/core/check.hpp"
#include "sim/report/html/page.hpp"
#include "sim/report/html/parts.hpp"
#include "sim/report/notation.hpp"

namespace shardsim {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t most_drawn = 50'000;
constexpr PointStatus statuses[] = {PointStatus::fits, PointStatus::does_not_fit, PointStatus::refused,
                                    PointStatus::failed};

/// Five digits: more cannot be seen.
Json rounded(const std::optional<double>& value) {
  if (!value || !std::isfinite(*value)) return nullptr;
  if (*value == 0) return 0;
  const double digits = std::pow(10, 4 - std::floor(std::log10(std::abs(*value))));
  const double near = std::round(*value * digits) / digits;
  return std::abs(near) < 1e15 && near == std::floor(near) ? Json(static_cast<std::int64_t>(near)) : Json(near);
}

template <class Values, class To>
Json array_of(const std::vector<std::size_t>& points, const Values& values, To to) {
  Json array = Json::array();
  for (const std::size_t point : points) array.push_back(to(values[point]));
  return array;
}

const std::map<std::string_view, PageFigure>& known_figures() {
  static const std::map<std::string_view, PageFigure> known = {
      {"peak_used_bytes", {"", "GPU memory", "bytes", true}},
      {"host_peak_bytes", {"", "host RAM", "bytes", true}},
      {"step_time_s", {"", "step time", "s", true}},
      {"tokens_per_s", {"", "tokens/s", "tokens/s", false}},
      {"tokens_per_s_per_gpu", {"", "tokens/s a GPU", "tokens/s", false}},
      {"mfu", {"", "MFU", "", false}},
      {"usd_per_million_tokens", {"", "USD a million tokens", "USD", true}},
      {"joules_per_token", {"", "energy a token", "J", true}},
      {"run_hours", {"", "time of the run", "h", true}},
      {"run_energy_kWh", {"", "energy of the run", "kWh", true}},
  };
  return known;
}

}  // namespace

std::vector<PageFigure> page_figures() {
  std::vector<PageFigure> figures;
  for (const NamedFigure& named : named_figures({})) {
    const auto known = known_figures().find(named.name);
    if (known == known_figures().end()) continue;
    figures.push_back(known->second);
    figures.back().name = named.name;
  }
  return figures;
}

std::vector<std::optional<double>> page_values(const Figures& figures) {
  std::vector<std::optional<double>> values;
  for (const NamedFigure& named : named_figures(figures)) {
    if (known_figures().contains(named.name)) values.push_back(named.value);
  }
  return values;
}

std::uint32_t PointsPage::PageAxis::number(const std::string& value) {
  const auto [entry, is_new] = numbers.emplace(value, static_cast<std::uint32_t>(values.size()));
  if (is_new) values.push_back(value);
  return entry->second;
}

PointsPage::PointsPage(std::vector<std::string> axes, std::vector<PageFigure> figures,
                       std::vector<std::string> objectives)
    : figures_(std::move(figures)), objectives_(std::move(objectives)) {
  for (std::string& axis : axes) axes_.push_back({std::move(axis), {}, {}, {}});
  SHARDSIM_CHECK(objectives_.size() == 2, "a scatter has two axes");
}

void PointsPage::add(std::uint64_t index, const std::vector<std::string>& values, PointStatus status,
                     const std::vector<std::optional<double>>& figures, const std::string& bottleneck) {
  SHARDSIM_CHECK(values.size() == axes_.size() && figures.size() == figures_.size(), "a point has all that it shows");
  index_.push_back(index);
  status_.push_back(status);
  for (std::size_t a = 0; a < values.size(); ++a) axes_[a].index.push_back(axes_[a].number(values[a]));
  for (std::size_t f = 0; f < figures.size(); ++f) {
    figures_[f].values.push_back(is_simulated(status) ? figures[f] : std::optional<double>{});
  }
  bottleneck_.index.push_back(bottleneck_.number(bottleneck));
}

std::uint64_t PointsPage::count(PointStatus status) const {
  return static_cast<std::uint64_t>(std::count(status_.begin(), status_.end(), status));
}

const PageFigure& PointsPage::figure(const std::string& name) const {
  const auto found =
      std::find_if(figures_.begin(), figures_.end(), [&](const PageFigure& f) { return f.name == name; });
  SHARDSIM_CHECK(found != figures_.end(), "objectives are figures of the page");
  return *found;
}

/// By point: it fits, and no other that fits beats it in both objectives.
std::vector<bool> PointsPage::on_front() const {
  const PageFigure& x = figure(objectives_[0]);
  const PageFigure& y = figure(objectives_[1]);
  const auto score = [](const PageFigure& of, std::size_t point) {
    return of.smaller_is_better ? *of.values[point] : -*of.values[point];
  };
  std::vector<std::size_t> able;
  for (std::size_t i = 0; i < index_.size(); ++i) {
    if (status_[i] == PointStatus::fits && x.values[i] && y.values[i]) able.push_back(i);
  }
  std::sort(able.begin(), able.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(score(x, a), score(y, a)) < std::pair(score(x, b), score(y, b));
  });
  std::vector<bool> front(index_.size(), false);
  double least = std::numeric_limits<double>::infinity();
  for (const std::size_t i : able) {
    if (score(y, i) >= least) continue;
    least = score(y, i);
    front[i] = true;
  }
  return front;
}

std::vector<std::size_t> PointsPage::drawn() const {
  const std::size_t every = std::max<std::size_t>(1, (index_.size() + most_drawn - 1) / most_drawn);
  const std::vector<bool> front = on_front();
  std::vector<std::size_t> points;
  for (std::size_t i = 0; i < index_.size(); ++i) {
    if (i % every == 0 || front[i]) points.push_back(i);
  }
  return points;
}

std::string PointsPage::html(const std::string& text) const {
  const std::vector<std::size_t> shown = drawn();
  const auto same = [](const auto& value) { return value; };
  Json data = {{"verdict", verdict},   {"answered", answered}, {"headline", headline},
               {"subtitle", subtitle}, {"command", command},   {"objectives", objectives_}};
  data["base"] = Json(base);
  data["statuses"] = Json::array();
  for (const PointStatus status : statuses) data["statuses"].push_back(name_of(status));
  data["axes"] = Json::array();
  for (const PageAxis& axis : axes_) {
    data["axes"].push_back(
        {{"name", axis.name}, {"values", axis.values}, {"index", array_of(shown, axis.index, same)}});
  }
  data["figures"] = Json::array();
  for (const PageFigure& figure : figures_) {
    data["figures"].push_back({{"name", figure.name},
                               {"title", figure.title},
                               {"unit", figure.unit},
                               {"smaller", figure.smaller_is_better},
                               {"values", array_of(shown, figure.values, rounded)}});
  }
  data["index"] = array_of(shown, index_, same);
  data["status"] = array_of(shown, status_, [](PointStatus status) { return static_cast<int>(status); });
  data["bottleneck"] = {{"names", bottleneck_.values}, {"index", array_of(shown, bottleneck_.index, same)}};
  data["commands"] = commands.empty() ? Json() : array_of(shown, commands, same);
  data["labels"] = labels.empty() ? Json() : array_of(shown, labels, same);
  Json remarks(notes);
  if (shown.size() < index_.size()) {
    remarks.push_back(fmt::format(
        "{} of {} points are drawn: the Pareto front and every {}th", grouped_digits(static_cast<double>(shown.size())),
        grouped_digits(static_cast<double>(index_.size())), (index_.size() + most_drawn - 1) / most_drawn));
  }
  data["notes"] = remarks;
  return html_page(headline, html::points, data, text);
}

}  // namespace shardsim
