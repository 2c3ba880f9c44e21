// Tables in README files that a test writes: SHARDSIM_UPDATE_README=1 renews them, and without it they must be as
// written.
#pragma once

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "catch.hpp"

/// What stands in `file` between "<!-- `part` ... -->" and "<!-- end -->" must be `wanted`, or becomes it.
inline void check_readme(const std::string& file, const std::string& part, const std::string& wanted) {
  std::ifstream stream(file);
  REQUIRE(stream);
  const std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  const std::size_t marker = text.find("<!-- " + part);
  REQUIRE(marker != std::string::npos);
  const std::size_t begin = text.find('\n', marker) + 1;
  const std::size_t end = text.find("<!-- end -->", begin);
  REQUIRE(end != std::string::npos);
  if (std::getenv("SHARDSIM_UPDATE_README") != nullptr) {
    std::ofstream(file) << text.substr(0, begin) + wanted + text.substr(end);
    return;
  }
  INFO("SHARDSIM_UPDATE_README=1 renews " << file);
  CHECK(text.substr(begin, end - begin) == wanted);
}
