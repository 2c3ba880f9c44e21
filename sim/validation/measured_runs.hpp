// Measured runs, one a CSV row: what was run, in our own options, and what was read off it.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/request/option_text.hpp"

namespace shardsim {

/// What a run can be measured by. Bytes are of the worst rank, host bytes of a node, times of one optimizer step.
enum class Quantity : std::uint8_t {
  allocated_bytes,
  reserved_bytes,
  used_bytes,
  host_bytes,
  oom,
  step_time_s,
  tokens_per_s_per_gpu,
};
inline constexpr std::size_t quantity_count = 7;
/// "allocated_bytes"; its column is "measured_allocated_bytes".
std::string_view name_of(Quantity quantity);
/// Memory in bytes: neither a time nor whether memory ran out.
bool is_memory(Quantity quantity);
bool is_time(Quantity quantity);

struct MeasuredRun {
  std::string id, source, trust, notes;
  OptionTexts options;  ///< only what the row sets; each knows its line and column
  std::array<std::optional<double>, quantity_count> measured;  ///< by Quantity
};

struct MeasuredRuns {
  std::vector<MeasuredRun> runs;
  std::vector<std::string> warnings;  ///< columns that nobody knows, a sentence each
};

/// Reads a table of the contract's section 5: the columns `id`, `source`, `trust`, `notes`, options by their names, and
/// `measured_...`. A path in the columns model, topology, deepspeed, accelerate or config is relative to the file.
/// Throws InputError, with line and column, for a file that is no such table: no id column, a column twice, rows of
/// another length than the header, a measurement that is no number.
MeasuredRuns read_measured_runs(const std::filesystem::path& file);

}  // namespace shardsim
