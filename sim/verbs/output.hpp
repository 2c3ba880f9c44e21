// Where results and remarks go: stdout carries the result and nothing else.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/request/request.hpp"

namespace shardsim {

/// Writes to the file, or to stdout if `file` is empty or "-". A reader that has gone away is no error; a file or
/// stdout that cannot be written raises InputError.
void write_result(std::string_view text, const std::string& file);

/// The same for a file that another option names.
void write_file(std::string_view text, const std::string& file, const std::string& option);

/// For verbs that simulate many times: throws InputError where the request asks for what one run has, a trace or a
/// memory snapshot.
void refuse_files_of_one_run(const Request& request, std::string_view verb);

/// The words as a shell takes them, "shardsim" before them.
std::string shell_command(const std::vector<std::string>& words);

/// One "shardsim: ..." line each, on stderr.
void write_remarks(std::string_view kind, const std::vector<std::string>& remarks);

/// True when stdout is a terminal that takes colour: NO_COLOR is unset or empty, TERM is not "dumb", and
/// mpirun did not start this process.
bool stdout_takes_color();

}  // namespace shardsim
