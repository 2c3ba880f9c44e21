#include "sim/verbs/output.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "model/core/error.hpp"
#include "sim/request/option_text.hpp"

namespace shardsim {

namespace {

bool write_all(std::FILE* out, std::string_view text) {
  errno = 0;
  return std::fwrite(text.data(), 1, text.size(), out) == text.size() && std::fflush(out) == 0;
}

std::string reason() { return errno != 0 ? std::string(": ") + std::strerror(errno) : ""; }

}  // namespace

void write_file(std::string_view text, const std::string& path, const std::string& option) {
  const std::string right = "a file that can be written";
  errno = 0;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), &std::fclose);
  if (!file) throw InputError("cannot write '" + path + "'" + reason(), option, right);
  if (!write_all(file.get(), text)) throw InputError("cannot write '" + path + "'" + reason(), option, right);
}

void refuse_files_of_one_run(const Request& request, std::string_view verb) {
  const std::string right = "shardsim simulate, which runs once";
  const std::string reason = std::string(verb) + " simulates many runs";
  if (!request.trace.empty()) throw InputError(reason, "--trace", right);
  if (!request.memory_snapshot.empty()) throw InputError(reason, "--memory-snapshot", right);
}

void write_result(std::string_view text, const std::string& file) {
  if (!file.empty() && file != "-") return write_file(text, file, "--output");
  if (write_all(stdout, text) || errno == EPIPE) return;
  throw InputError("cannot write to stdout" + reason(), "", "a stdout that is open, or -o FILE");
}

std::string shell_command(const std::vector<std::string>& words) {
  std::string line = "shardsim";
  for (const std::string& word : words) line += ' ' + shell_word(word);
  return line;
}

void write_remarks(std::string_view kind, const std::vector<std::string>& remarks) {
  for (const std::string& remark : remarks) {
    std::fprintf(stderr, "shardsim: %.*s: %s\n", static_cast<int>(kind.size()), kind.data(), remark.c_str());
  }
}

bool stdout_takes_color() {
  // Open MPI's launcher lends its processes a terminal, whatever its own stdout is.
  if (std::getenv("OMPI_COMM_WORLD_RANK") != nullptr) return false;
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* terminal = std::getenv("TERM");
  return terminal != nullptr && std::strcmp(terminal, "dumb") != 0 && isatty(STDOUT_FILENO) == 1;
}

}  // namespace shardsim
