// Picks the verb; the only place that catches and that exits.
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "model/core/error.hpp"
#include "sim/engine/freed_memory.hpp"
#include "sim/verbs/verb.hpp"

namespace {

using shardsim::ExitStatus;

// argv[0] may be a bare name found through PATH; the link knows the file.
std::filesystem::path running_program(const char* invoked_as) {
  std::error_code failed;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failed);
  return failed ? std::filesystem::path(invoked_as) : program;
}

ExitStatus internal_fault(const char* what) {
  std::fprintf(stderr, "shardsim: internal fault: %s; this is a bug, please report it with the command line\n", what);
  return ExitStatus::internal_fault;
}

ExitStatus run(int count, char** words) {
  try {
    const std::vector<std::string> arguments(words + (count > 0 ? 1 : 0), words + count);
    return shardsim::run_command_line(running_program(count > 0 ? words[0] : ""), arguments);
  } catch (const shardsim::InputError& error) {
    std::fprintf(stderr, "shardsim: error: %s\n", error.what());
    return ExitStatus::wrong_request;
  } catch (const std::filesystem::filesystem_error& error) {  // what a reader or writer did not foresee
    std::fprintf(stderr, "shardsim: error: cannot use '%s': %s; expected a place that may be read and written\n",
                 error.path1().c_str(), error.code().message().c_str());
    return ExitStatus::wrong_request;
  } catch (const std::bad_alloc&) {
    return internal_fault("out of memory");
  } catch (const std::exception& error) {
    return internal_fault(error.what());
  } catch (...) {
    return internal_fault("unknown exception");
  }
}

}  // namespace

int main(int count, char** words) {
  // A reader such as `head` that closes our stdout must not kill us: the exit status is part of the answer.
  std::signal(SIGPIPE, SIG_IGN);
  // A limit on the size of files (ulimit -f) is a reason to give, as a full disk is.
  std::signal(SIGXFSZ, SIG_IGN);
  shardsim::keep_freed_memory();
  return static_cast<int>(run(count, words));
}
