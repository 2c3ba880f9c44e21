// Our own mistakes: always on, because a wrong number is worse than a stop. Exit status 3.
#pragma once

#include <stdexcept>
#include <string>

namespace shardsim {

class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] inline void fail_check(const char* expression, const char* why, const char* file, int line) {
  throw InternalError(std::string(file) + ":" + std::to_string(line) + ": " + expression + " does not hold: " + why);
}

}  // namespace shardsim

#define SHARDSIM_CHECK(expression, why) \
  ((expression) ? static_cast<void>(0) : ::shardsim::fail_check(#expression, why, __FILE__, __LINE__))
