// The user's mistakes. Ours are checks (check.hpp); out of memory is a result, not an error.
#pragma once

#include <stdexcept>
#include <string>

namespace shardsim {

/// A wrong request: what is wrong, where it stands, what would be right. One line, exit status 2.
class InputError : public std::runtime_error {
 public:
  InputError(const std::string& what, const std::string& where, const std::string& right)
      : std::runtime_error(compose(what, where, right)) {}

 private:
  static std::string compose(const std::string& what, const std::string& where, const std::string& right) {
    std::string line = what;
    if (!where.empty()) line += " (" + where + ")";
    if (!right.empty()) line += "; expected " + right;
    for (char& c : line) {
      if (static_cast<unsigned char>(c) < ' ') c = ' ';
    }
    return line;
  }
};

}  // namespace shardsim
