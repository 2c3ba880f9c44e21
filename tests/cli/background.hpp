// A program that runs beside the test, to be stopped.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

/// Waits until `happened`, for half a minute at most; true if it did.
inline bool wait_until(const std::function<bool()>& happened) {
  for (int tries = 0; tries < 15000; ++tries) {
    if (happened()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

class Background {
 public:
  /// `command` begins with a program, or with "env"; what it says goes to the two files.
  Background(const std::string& command, const std::string& out, const std::string& err) : process_(::fork()) {
    if (process_ != 0) return;
    ::setpgid(0, 0);
    ::execl("/bin/sh", "sh", "-c", ("exec " + command + " >'" + out + "' 2>'" + err + "'").c_str(), nullptr);
    ::_exit(127);
  }
  ~Background() {
    if (status_ != running) return;
    ::kill(process_, SIGKILL);
    wait();
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  pid_t process() const { return process_; }
  /// The processes that it started itself and whose program has this name.
  std::vector<pid_t> children(const std::string& name) const {
    const std::string self = std::to_string(process_);
    std::ifstream stream("/proc/" + self + "/task/" + self + "/children");
    std::vector<pid_t> found;
    for (pid_t child = 0; stream >> child;) {
      std::string program;
      std::getline(std::ifstream("/proc/" + std::to_string(child) + "/comm") >> std::ws, program);
      if (program == name) found.push_back(child);
    }
    return found;
  }

  bool ended() {
    if (status_ == running && ::waitpid(process_, &status_, WNOHANG) == 0) status_ = running;
    return status_ != running;
  }
  /// Its exit status; 128 + signal if it was killed.
  int wait() {
    if (status_ == running) ::waitpid(process_, &status_, 0);
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  }

 private:
  static constexpr int running = -1;
  pid_t process_;
  int status_ = running;
};
