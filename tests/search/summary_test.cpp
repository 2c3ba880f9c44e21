// Counts, the best and the front, of points written by hand.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "request/contains.hpp"
#include "sim/search/point_line.hpp"
#include "sim/search/summary.hpp"

using namespace shardsim;

namespace {

SweepSpec two_axes() {
  SweepSpec spec;
  spec.space.axes = {{"micro-batch", {"1", "2", "4"}, ""}, {"strategy", {"zero3"}, ""}};
  spec.pareto = {find_objective("memory", ""), find_objective("tokens-per-s", "")};
  return spec;
}

PointResult fitting(std::int64_t used, double tokens) {
  PointResult result;
  result.figures.fits = true;
  result.figures.peak_used_bytes = used;
  result.figures.tokens_per_s = tokens;
  result.figures.bottleneck = "a \"link\"";
  return result;
}

}  // namespace

TEST_CASE("Each kind of memory is that of the rank that has most of it") {
  Report report;
  report.devices.resize(2);
  report.devices[0].peak_allocated_bytes = 9, report.devices[0].peak_reserved_bytes = 10;
  report.devices[0].peak_used_bytes = 12, report.devices[0].capacity_bytes = 100;
  report.devices[1].peak_allocated_bytes = 8, report.devices[1].peak_reserved_bytes = 11;
  report.devices[1].peak_used_bytes = 13, report.devices[1].capacity_bytes = 90;
  const Figures figures = key_figures(report);
  CHECK(figures.peak_allocated_bytes == 9);
  CHECK(figures.peak_reserved_bytes == 11);
  CHECK(figures.peak_used_bytes == 13);
  CHECK(figures.capacity_bytes == 90);
}

TEST_CASE("A line says the point, its figures and what is unknown") {
  const SweepSpec spec = two_axes();
  std::string lines;
  append_point_line(lines, 1, spec.space, fitting(std::int64_t{1} << 60, 0.1));
  const auto point = nlohmann::json::parse(lines);
  CHECK(point["index"] == 1);
  CHECK(point["axes"]["micro-batch"] == "2");
  CHECK(point["peak_used_bytes"] == std::int64_t{1} << 60);
  CHECK(point["tokens_per_s"] == 0.1);
  CHECK(point["usd_per_million_tokens"].is_null());
  CHECK(point["bottleneck"] == "a \"link\"");
  CHECK(lines.back() == '\n');
}

TEST_CASE("The front holds what nothing beats, the best stand first") {
  const SweepSpec spec = two_axes();
  SweepSummary summary(spec);
  std::uint64_t index = 0;
  const auto add = [&](const PointResult& result) {
    std::string line;
    append_point_line(line, index++, spec.space, result);
    summary.add(line, nlohmann::json::parse(line));
  };
  add(fitting(4 << 20, 10));
  add(fitting(2 << 20, 5));
  add(fitting(3 << 20, 4));  // beaten by the second
  PointResult refused;
  refused.status = PointStatus::refused;
  refused.message = "no such pair";
  std::string line;
  append_point_line(line, 0, spec.space, refused);
  summary.add(line, nlohmann::json::parse(line));
  const std::string text = summary.text(5);
  CHECK(summary.fitting() == 3);
  CHECK_THAT(text, Contains("5 points, 3 fit, 1 refused, 1 left out by the rules"));
  CHECK_THAT(text, Contains("1 x no such pair"));
  CHECK_THAT(text, Contains("Pareto front, 2 points"));
  CHECK_THAT(text, !Contains("4 /s"));
}
