// The ten questions of examples/questions.md: one command answers each, and the answers are goldens
// (SHARDSIM_UPDATE_GOLDENS=1 writes them anew).
#include <cstdlib>
#include <regex>

#include "catch.hpp"
#include "cli/program.hpp"

namespace {

namespace fs = std::filesystem;

const fs::path source(SHARDSIM_SOURCE);

/// The commands between backticks, without the program's name.
std::vector<std::string> commands() {
  std::vector<std::string> found;
  const std::string text = contents((source / "examples/questions.md").string());
  static const std::regex command("`shardsim ([^`]*)`");
  for (auto match = std::sregex_iterator(text.begin(), text.end(), command); match != std::sregex_iterator(); ++match) {
    found.push_back((*match)[1].str());
  }
  return found;
}

}  // namespace

TEST_CASE("Each of the ten questions is answered by its command") {
  const bool updating = std::getenv("SHARDSIM_UPDATE_GOLDENS") != nullptr;
  const std::vector<std::string> asked = commands();
  REQUIRE(asked.size() == 10);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    INFO(asked[i]);
    std::string arguments = asked[i];
    if (const auto out = arguments.find(" -o "); out != std::string::npos) {
      arguments = arguments.substr(0, out) + " -q -o " + scratch().file("question.jsonl");
      fs::remove_all(scratch().file("question.jsonl"));
      fs::remove_all(scratch().file("question.jsonl.journal"));
    }
    const Run answer = run(arguments, "-C '" + source.string() + "'");
    CHECK((answer.status == 0 || answer.status == 1));
    const fs::path golden = source / "tests/golden/questions" / (std::to_string(i + 1) + ".txt");
    if (updating) {
      fs::create_directories(golden.parent_path());
      std::ofstream(golden) << answer.out;
      continue;
    }
    CHECK(answer.out == contents(golden.string()));
  }
}
