// Is every option of the contract that this version does not simulate refused by name, and its default taken?
#include "catch.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "sim/request/parse_request.hpp"

using namespace shardsim;

namespace {

std::string refusal_of(const std::string& option, const std::string& value) {
  return refusal([&] { parse_request({"--topology", "4xA100", "--strategy", "ddp", option, value}); });
}

}  // namespace

TEST_CASE("known values that wait are named as such, with what there is") {
  const std::vector<std::pair<std::string, std::vector<std::string>>> waiting = {
      {"--format", {"html"}}, {"--trace", {"t.json"}}, {"--memory-snapshot", {"m.pickle"}}};
  for (const auto& [option, values] : waiting) {
    for (const std::string& value : values) {
      INFO(option << " " << value);
      const std::string line = refusal_of(option, value);
      CHECK_THAT(line, Contains(option + " " + value + " is not simulated yet; available: "));
      CHECK_FALSE(line.ends_with("available: "));
    }
  }
}

TEST_CASE("the one value that is simulated may be said") {
  for (const auto& [option, value] : std::vector<std::pair<std::string, std::string>>{{"--peft", "none"},
                                                                                      {"--lora-rank", "16"},
                                                                                      {"--quantization", "nf4-dq"},
                                                                                      {"--kbit-upcast", "on"},
                                                                                      {"--allocator", "caching"},
                                                                                      {"--save", "none"}}) {
    INFO(option << " " << value);
    CHECK(refusal_of(option, value).empty());
  }
}
