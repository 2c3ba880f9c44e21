#include "sim/report/residuals.hpp"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "model/core/error.hpp"
#include "model/core/read_file.hpp"

namespace shardsim {

namespace {

constexpr std::array<std::string_view, ranged_count> names = {"allocated_bytes", "reserved_bytes", "used_bytes",
                                                              "host_bytes", "time"};
constexpr std::string_view all = "all";

std::string_view strategy_family(const Request& request) {
  if (request.offload.any()) return "offload";
  if (is_fsdp(request.kind)) return "fsdp";
  return is_zero(request.kind) ? "zero" : "whole";
}

[[noreturn]] void refuse(const std::string& line, const std::string& where) {
  throw InputError("'" + line + "' is no class of residuals", where, "family,quantity,count,low,high");
}

template <class Number>
Number number(const std::string& text, const std::string& line, const std::string& where) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end || !(value > 0)) refuse(line, where);
  return value;
}

ResidualClass parse(const std::string& line, const std::string& where) {
  std::vector<std::string> fields;
  std::istringstream in(line);
  for (std::string field; std::getline(in, field, ',');) fields.push_back(field);
  if (fields.size() != 5) refuse(line, where);
  ResidualClass made;
  made.family = fields[0];
  const auto name = std::find(names.begin(), names.end(), fields[1]);
  if (name == names.end()) refuse(line, where);
  made.quantity = static_cast<Ranged>(name - names.begin());
  made.count = number<std::int64_t>(fields[2], line, where);
  made.range = {number<double>(fields[3], line, where), number<double>(fields[4], line, where)};
  if (made.range.low > made.range.high) refuse(line, where);
  return made;
}

}  // namespace

std::string_view name_of(Ranged quantity) { return names[static_cast<std::size_t>(quantity)]; }

std::string technique_family(const Request& request) {
  return std::string(strategy_family(request)) + (request.peft.any() ? "-adapters" : "-full");
}

Residuals read_residuals(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return {};
  std::istringstream in(read_file(file, {"", "the table that shardsim validate --residuals prints", table_limit}));
  Residuals residuals;
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (number > 1 && !line.empty()) residuals.push_back(parse(line, file.string() + ":" + std::to_string(number)));
  }
  return residuals;
}

Ranges ranges_of(const Residuals& residuals, const Request& request) {
  const std::string family = technique_family(request);
  Ranges ranges;
  for (const ResidualClass& found : residuals) {
    std::optional<ErrorRange>& range = ranges[static_cast<std::size_t>(found.quantity)];
    const bool own = found.family == family && found.count >= fewest_runs;
    if (!own && (found.family != all || range)) continue;
    range = found.range;
    range->of_all = !own;
  }
  return ranges;
}

}  // namespace shardsim
