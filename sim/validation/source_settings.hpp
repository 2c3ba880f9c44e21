// What the scripts of a published source set and its rows do not say: adapters' dropout, its software's generation.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sim/validation/measured_runs.hpp"

namespace shardsim {

/// One stated property of a source. It holds for the rows whose `source` begins with `source` and that meet all
/// conditions.
struct SourceSetting {
  struct Condition {
    std::string column;     ///< an option, or "notes"
    std::string text;       ///< the option's value, or what the notes contain
    bool contains = false;  ///< "notes~text" instead of "option=text"
  };
  std::string source;
  std::vector<Condition> conditions;
  std::string option, value;
};

/// Reads a table of the columns source, when, option, value, because; `when` joins its conditions by "; ". A value
/// that names a file beside the table is that file. A table that is not there holds no settings. Throws InputError,
/// with the line, for another form or an unknown option.
std::vector<SourceSetting> read_source_settings(const std::filesystem::path& file);

/// Sets the options that rows leave open, and those that a condition asks for, to what their source states.
void apply_source_settings(MeasuredRuns& measured, const std::vector<SourceSetting>& settings);

}  // namespace shardsim
