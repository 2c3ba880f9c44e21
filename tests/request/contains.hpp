// Catch2 renamed its matcher for a part of a text in version 3.
#pragma once

#include <string>

#include "catch.hpp"

inline auto Contains(const std::string& part) {
#if __has_include(<catch2/catch_all.hpp>)
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Matchers::Contains(part);
#endif
}
