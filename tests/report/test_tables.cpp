// Do CSV and Markdown hold together as tables, whatever the names?
#include <algorithm>
#include <sstream>

#include "catch.hpp"
#include "report/sample.hpp"
#include "request/contains.hpp"

using namespace shardsim;

namespace {

/// Fields of a line of CSV with quoted fields.
std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> result(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      result.emplace_back();
    } else {
      result.back() += c;
    }
  }
  return result;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string value(const std::vector<std::string>& lines, std::size_t row, const std::string& column) {
  const std::vector<std::string> header = fields(lines[0]);
  const auto found = std::find(header.begin(), header.end(), column);
  REQUIRE(found != header.end());
  return fields(lines.at(row)).at(static_cast<std::size_t>(found - header.begin()));
}

}  // namespace

TEST_CASE("CSV has a header and one row a group of equal devices") {
  const std::vector<std::string> lines = lines_of(render_csv(sample_report()));
  REQUIRE(lines.size() == 2);
  CHECK(fields(lines[0]).size() == fields(lines[1]).size());
  CHECK(value(lines, 1, "device") == "gpu0-gpu1");
  CHECK(value(lines, 1, "count") == "2");
  CHECK(value(lines, 1, "fits") == "true");
  CHECK(value(lines, 1, "peak_used_bytes") == std::to_string(53 * gibibyte));
  CHECK(value(lines, 1, "optimizer_bytes") == std::to_string(24 * gibibyte));
  CHECK(value(lines, 1, "gradients_bytes") == "0");
  CHECK(value(lines, 1, "peak_at") == "step 1, backward, layer 31");
  CHECK(value(lines, 1, "host_peak_bytes") == std::to_string(64 * gibibyte));
  CHECK(value(lines, 1, "step_time_s") == "2");

  Report unequal = sample_report();
  unequal.devices[1].peak_used_bytes += 1;
  unequal.model.name = "a,b";
  const std::vector<std::string> rows = lines_of(render_csv(unequal));
  REQUIRE(rows.size() == 3);
  CHECK(value(rows, 2, "device") == "gpu1");
  CHECK(value(rows, 2, "model") == "a,b");
}

TEST_CASE("equal devices that do not stand together are not called a range") {
  Report report = sample_report();
  report.devices = {sample_device("gpu0"), sample_device("gpu1"), sample_device("gpu2")};
  report.devices[1].peak_used_bytes += 1;
  CHECK(value(lines_of(render_csv(report)), 1, "device") == "gpu0 and 1 more");
}

TEST_CASE("equal links are one line of text") {
  Report report = sample_report();
  LinkReport other = report.links[0];
  other.id = "gpu1>gpu0";
  report.links.push_back(other);
  const std::string text = render_text(report, false);
  CHECK_THAT(text, Contains("gpu0>gpu1 (x4)") && !Contains("gpu1>gpu0"));
  CHECK_THAT(render_markdown(report), Contains("| gpu0>gpu1 | nvlink | 4 |"));
}

TEST_CASE("Markdown tables have equal rows and the verdict as their title") {
  Report report = sample_misfit();
  report.warnings = {"take care"};
  report.links[0].id = "a|b";
  const std::string text = render_markdown(report);
  CHECK(text.starts_with("# DOES NOT FIT: needs 90.0 GiB"));
  CHECK_THAT(text, Contains("model states alone") && Contains("- take care") && Contains("a\\|b"));
  std::size_t columns = 0;
  for (const std::string& line : lines_of(text)) {
    if (!line.starts_with('|')) {
      columns = 0;
      continue;
    }
    INFO(line);
    std::size_t bars = 0;
    for (std::size_t i = 0; i < line.size(); ++i) bars += line[i] == '|' && (i == 0 || line[i - 1] != '\\') ? 1 : 0;
    if (columns != 0) CHECK(bars == columns);
    columns = bars;
  }
}
