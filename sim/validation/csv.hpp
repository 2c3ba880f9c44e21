// Comma-separated values as RFC 4180 has them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shardsim {

struct CsvRow {
  int line = 0;  ///< where it begins, from 1
  std::vector<std::string> fields;
};

/// All records; empty lines are none. Quoted fields may hold commas, line ends and doubled quotes; lines may end in
/// CR LF; a byte order mark is skipped. Throws InputError, with `name` and the line, for a quote that is never closed
/// or stands inside a bare field.
std::vector<CsvRow> parse_csv(std::string_view text, const std::string& name);

}  // namespace shardsim
