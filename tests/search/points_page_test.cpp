// What a page of many points holds: which are drawn, what is said of them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "sim/search/points_page.hpp"

using namespace shardsim;

namespace {

/// The JSON inside of the page.
nlohmann::json data_of(const std::string& html) {
  const std::string begin = "<script type=\"application/json\" id=\"data\">";
  const std::size_t from = html.find(begin) + begin.size();
  return nlohmann::json::parse(html.substr(from, html.find("</script>", from) - from));
}

PointsPage two_figures() {
  return PointsPage({"strategy"}, {{"cost", "cost", "USD", true}, {"speed", "speed", "tokens/s", false}},
                    {"cost", "speed"});
}

}  // namespace

TEST_CASE("a page holds every point with its axes, status and figures") {
  PointsPage page = two_figures();
  page.headline = "</script> & <b>";
  page.add(7, {"ddp"}, PointStatus::fits, {1.23456789, 10.0}, "compute");
  page.add(8, {"zero3"}, PointStatus::does_not_fit, {2.0, std::nullopt}, "pcie");
  page.add(9, {"ddp"}, PointStatus::refused, {3.0, 4.0}, "");
  CHECK(page.points() == 3);
  CHECK(page.count(PointStatus::fits) == 1);
  const nlohmann::json data = data_of(page.html("as text"));
  CHECK(data["headline"] == "</script> & <b>");
  CHECK(data["index"] == nlohmann::json({7, 8, 9}));
  CHECK(data["status"] == nlohmann::json({0, 1, 2}));
  CHECK(data["axes"][0]["values"] == nlohmann::json({"ddp", "zero3"}));
  CHECK(data["axes"][0]["index"] == nlohmann::json({0, 1, 0}));
  CHECK(data["figures"][0]["values"] == nlohmann::json({1.2346, 2, nullptr}));  // five digits; a refusal has none
  CHECK(data["figures"][1]["values"] == nlohmann::json({10, nullptr, nullptr}));
}

TEST_CASE("of very many points the front and every n-th are drawn, and the page says so") {
  PointsPage page = two_figures();
  constexpr std::uint64_t points = 120'001;
  // All alike but one in the middle, which is better in both.
  for (std::uint64_t i = 0; i < points; ++i) {
    const bool better = i == 60'002;
    page.add(i, {"ddp"}, PointStatus::fits, {better ? 1.0 : 2.0, better ? 9.0 : 3.0}, "compute");
  }
  const nlohmann::json data = data_of(page.html(""));
  CHECK(data["index"].size() == points / 3 + 1 + 1);
  CHECK(std::count(data["index"].begin(), data["index"].end(), 60'002) == 1);
  CHECK(data["notes"].size() == 1);
}

TEST_CASE("figures of a simulation stand in the order in which they are named") {
  Figures figures;
  figures.peak_used_bytes = 5;
  figures.mfu = 0.5;
  const std::vector<PageFigure> named = page_figures();
  const std::vector<std::optional<double>> values = page_values(figures);
  REQUIRE(named.size() == values.size());
  for (std::size_t f = 0; f < named.size(); ++f) {
    if (named[f].name == "peak_used_bytes") CHECK(values[f] == 5.0);
    if (named[f].name == "mfu") CHECK(values[f] == 0.5);
    if (named[f].name == "usd_per_million_tokens") CHECK_FALSE(values[f]);
  }
}
