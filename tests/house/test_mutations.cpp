// The list of broken laws (tests/mutations) names passages that stand in the sources, each once.
#include <fstream>
#include <sstream>
#include <string>

#include "catch.hpp"

namespace {

std::string contents(const std::string& path) {
  std::ifstream file(std::string(SHARDSIM_SOURCE) + "/" + path);
  INFO(path);
  REQUIRE(file);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::size_t count(const std::string& text, const std::string& passage) {
  std::size_t found = 0;
  for (std::size_t at = text.find(passage); at != std::string::npos; at = text.find(passage, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("each mutation's passage stands where the list says") {
  std::istringstream list(contents("tests/mutations/mutations.txt"));
  std::string file;
  std::size_t laws = 0;
  for (std::string line; std::getline(list, line);) {
    if (line.starts_with("law: ")) ++laws;
    if (line.starts_with("file: ")) file = line.substr(6);
    if (!line.starts_with("from: ")) continue;
    INFO(file << ": " << line.substr(6));
    CHECK(count(contents(file), line.substr(6)) == 1);
  }
  CHECK(laws >= 10);
}
