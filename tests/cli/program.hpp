// Runs the built program as a shell would.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

struct Run {
  int status = -1;  ///< exit status; 128 + signal if it was killed
  std::string out;
  std::string err;
};

/// A folder for this test process, gone at its end.
class Scratch {
 public:
  Scratch() : folder_(std::filesystem::temp_directory_path() / ("shardsim-cli-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }

 private:
  std::filesystem::path folder_;
};

inline const Scratch& scratch() {
  static const Scratch folder;
  return folder;
}

inline std::string contents(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// `before` may set variables, `after` may redirect; both are shell text, as `arguments` is.
inline Run run(const std::string& arguments, const std::string& before = "", const std::string& after = "") {
  const std::string out = scratch().file("out");
  const std::string err = scratch().file("err");
  std::ofstream(out, std::ios::trunc);
  const std::string redirect = after.empty() ? " >'" + out + "'" : " " + after;
  const std::string command =
      "env -u NO_COLOR " + before + " '" SHARDSIM_PROGRAM "' " + arguments + " 2>'" + err + "'" + redirect;
  const int raw = std::system(command.c_str());
  Run result;
  result.status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  result.out = contents(out);
  result.err = contents(err);
  return result;
}

inline bool has_mpirun() { return std::system("command -v mpirun >/dev/null 2>&1") == 0; }

inline const std::string mpirun =
    "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -np ";
