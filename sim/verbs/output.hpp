// Where results and remarks go: stdout carries the result and nothing else.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shardsim {

/// Writes to the file, or to stdout if `file` is empty. A reader that has gone away is no error; a file or stdout that
/// cannot be written raises InputError.
void write_result(std::string_view text, const std::string& file);

/// One "shardsim: ..." line each, on stderr.
void write_remarks(std::string_view kind, const std::vector<std::string>& remarks);

/// True when stdout is a terminal that takes colour: NO_COLOR is unset or empty, TERM is not "dumb".
bool stdout_takes_color();

}  // namespace shardsim
