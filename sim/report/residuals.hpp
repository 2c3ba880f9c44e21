// How far measured runs lie from their predictions, by kind of run: where a prediction's range comes from.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/request/request.hpp"

namespace shardsim {

/// What has a range; the words are those of validation's quantities, times taken together as "time".
enum class Ranged : std::uint8_t { allocated_bytes, reserved_bytes, used_bytes, host_bytes, time };
inline constexpr std::size_t ranged_count = 5;
std::string_view name_of(Ranged quantity);

/// Quantiles of measured over predicted: eight runs in ten lie between them.
struct ErrorRange {
  double low = 1, high = 1;
  bool of_all = false;  ///< of runs of every family, because too few of the own were measured
};
inline constexpr double range_begin = 0.1, range_end = 0.9;
/// Fewer runs make no range of their own.
inline constexpr std::int64_t fewest_runs = 8;

/// Runs of one family, or of all of them ("all").
struct ResidualClass {
  std::string family;
  Ranged quantity = Ranged::time;
  std::int64_t count = 0;
  ErrorRange range;
};
using Residuals = std::vector<ResidualClass>;

/// "fsdp-adapters": whole (single, ddp, device-map), zero, fsdp or offload, and full or adapters.
std::string technique_family(const Request& request);

/// Reads the table that `shardsim validate --residuals` prints: family, quantity, count, low, high. A file that is not
/// there holds nothing. Throws InputError, with the line, for another form.
Residuals read_residuals(const std::filesystem::path& file);

/// By Ranged: the range of the request's own family, else that of all runs, else none.
using Ranges = std::array<std::optional<ErrorRange>, ranged_count>;
Ranges ranges_of(const Residuals& residuals, const Request& request);

}  // namespace shardsim
