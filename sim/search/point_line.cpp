#include "sim/search/point_line.hpp"

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "sim/report/json_text.hpp"

namespace shardsim {

namespace {

std::string quoted(const std::string& text) { return json_text(nlohmann::json(text)); }

}  // namespace

void append_point_line(std::string& lines, std::uint64_t index, const DesignSpace& space, const PointResult& result) {
  auto out = std::back_inserter(lines);
  fmt::format_to(out, "{{\"index\":{},\"axes\":{{", index);
  const std::vector<const std::string*> values = space.values_at(index);
  for (std::size_t a = 0; a < values.size(); ++a) {
    const Axis& axis = space.axes[a];
    fmt::format_to(out, "{}\"{}\":{}", a > 0 ? "," : "", axis.option, axis.is_whole ? *values[a] : quoted(*values[a]));
  }
  fmt::format_to(out, "}},\"status\":\"{}\"", name_of(result.status));
  if (!is_simulated(result.status)) {
    fmt::format_to(out, ",\"fits\":false,\"message\":{}}}\n", quoted(result.message));
    return;
  }
  fmt::format_to(out, ",\"fits\":{}", result.figures.fits);
  for (const NamedFigure& figure : named_figures(result.figures)) {
    if (!figure.value) {
      fmt::format_to(out, ",\"{}\":null", figure.name);
    } else if (figure.whole) {
      fmt::format_to(out, ",\"{}\":{}", figure.name, static_cast<std::int64_t>(*figure.value));
    } else {
      fmt::format_to(out, ",\"{}\":{}", figure.name, *figure.value);
    }
  }
  fmt::format_to(out, ",\"bottleneck\":{}}}\n", quoted(result.figures.bottleneck));
}

}  // namespace shardsim
