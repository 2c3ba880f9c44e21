// A sweep's results as a page.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "sim/report/notation.hpp"
#include "sim/search/points_page.hpp"
#include "sim/search/result_file.hpp"
#include "sim/search/summary.hpp"

namespace shardsim {

namespace {

constexpr std::size_t most_refusals = 8;

std::vector<std::string> axis_names(const DesignSpace& space) {
  std::vector<std::string> names;
  for (const Axis& axis : space.axes) names.push_back(axis.option);
  return names;
}

/// The figures of the first two objectives; of a single one beside the memory.
std::vector<std::string> scatter_figures(const SweepSpec& spec) {
  std::vector<std::string> figures;
  for (const Objective& objective : spec.pareto) figures.emplace_back(objective.figure);
  if (figures.size() < 2)
    figures.emplace_back(figures.front() == "peak_used_bytes" ? "step_time_s" : "peak_used_bytes");
  figures.resize(2);
  return figures;
}

PointStatus status_named(const std::string& name) {
  for (const PointStatus status : {PointStatus::fits, PointStatus::does_not_fit, PointStatus::refused}) {
    if (name_of(status) == name) return status;
  }
  return PointStatus::failed;
}

class HtmlFile : public ResultFile {
 public:
  HtmlFile(std::unique_ptr<WholeFile> file, const SweepSpec& spec, std::string command)
      : file_(std::move(file)),
        spec_(spec),
        summary_(spec),
        page_(axis_names(spec.space), page_figures(), scatter_figures(spec)) {
    page_.command = std::move(command);
    for (const auto& [option, text] : spec.space.base) page_.base.emplace(option, text.value);
  }

  void add(const std::string& line, const nlohmann::json& point) override {
    std::vector<std::string> values;
    for (const std::string* value : spec_.space.values_at(point["index"].get<std::uint64_t>()))
      values.push_back(*value);
    std::vector<std::optional<double>> figures;
    for (const PageFigure& figure : page_figures_) {
      const auto value = point.find(figure.name);
      figures.push_back(value == point.end() || value->is_null() ? std::nullopt : std::optional(value->get<double>()));
    }
    const PointStatus status = status_named(point["status"]);
    page_.add(point["index"].get<std::uint64_t>(), values, status, figures, point.value("bottleneck", std::string()));
    if (point.contains("message")) ++refusals_[point["message"].get<std::string>()];
    summary_.add(line, point);
  }

  void finish() override {
    const auto digits = [](std::uint64_t count) { return grouped_digits(static_cast<double>(count)); };
    const std::uint64_t fitting = page_.count(PointStatus::fits);
    page_.answered = fitting > 0;
    page_.verdict = fitting > 0 ? digits(fitting) + " fit" : "none fits";
    page_.headline = fmt::format("A sweep of {} points over {} axes", digits(page_.points()), spec_.space.axes.size());
    std::string base;
    for (const auto& [option, value] : page_.base)
      base += fmt::format("{}{} {}", base.empty() ? "" : ", ", option, value);
    page_.subtitle = fmt::format("{} do not fit, {} are refused{}{}", digits(page_.count(PointStatus::does_not_fit)),
                                 digits(page_.count(PointStatus::refused)), base.empty() ? "" : "; all with ", base);
    note_refusals();
    file_->write(page_.html(summary_.text(spec_.space.points())));
    file_->finish();
  }

 private:
  void note_refusals() {
    std::vector<std::pair<std::uint64_t, std::string>> most;
    for (const auto& [message, count] : refusals_) most.emplace_back(count, message);
    std::sort(most.rbegin(), most.rend());
    for (std::size_t i = 0; i < std::min(most.size(), most_refusals); ++i) {
      page_.notes.push_back(fmt::format("{} points: {}", most[i].first, most[i].second));
    }
  }

  std::unique_ptr<WholeFile> file_;
  const SweepSpec& spec_;
  SweepSummary summary_;
  PointsPage page_;
  std::vector<PageFigure> page_figures_ = page_figures();
  std::map<std::string, std::uint64_t> refusals_;  ///< by message
};

}  // namespace

std::unique_ptr<ResultFile> make_html_file(const std::filesystem::path& file, const SweepSpec& spec,
                                           const std::string& command) {
  return std::make_unique<HtmlFile>(std::make_unique<WholeFile>(file), spec, command);
}

}  // namespace shardsim
