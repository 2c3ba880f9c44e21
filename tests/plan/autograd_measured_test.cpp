// The autograd engine, recomputation and AdamW on one GPU against the real ones (how: measured.hpp).
#include "measured.hpp"

using namespace shardsim;

namespace {

std::vector<std::string> single(const std::string& precision, const std::vector<std::string>& more = {}) {
  std::vector<std::string> words{"--topology", "1xH100", "--strategy", "single", "--precision", precision};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

}  // namespace

TEST_CASE("peaks of one GPU's training") {
  test::check_measured({test::llama, single("fp32"), {40'971'264, 46'897'928, 54'694'912, 54'628'352}});
  test::check_measured({test::llama, single("bf16"), {20'485'632, 24'131'848, 27'347'968, 27'314'176}});
  test::check_measured(
      {test::llama, single("fp32", {"--checkpointing", "full"}), {40'971'264, 41'977'096, 54'694'912, 54'628'352}});
}

TEST_CASE("a tied weight's two gradients meet in a third tensor, for the first is a view") {
  test::check_measured({test::llama_tied, single("fp32"), {37'899'264, 43'825'928, 52'581'376, 50'532'352}});
  test::check_measured({test::gpt2, single("fp32"), {41'379'840, 49'373'704, 57'222'144, 55'173'120}});
  test::check_measured(
      {test::llama_tied, single("fp32", {"--grad-accum", "2"}), {37'899'264, 56'459'016, 57'719'808, 50'532'352}});
}

TEST_CASE("autocast's copies of weights, and their end with the recomputation that made them") {
  test::check_measured({test::llama, single("amp-bf16"), {40'971'264, 51'699'464, 54'694'912, 54'628'352}});
  test::check_measured({test::llama_tied,
                        single("amp-bf16", {"--checkpointing", "full"}),
                        {37'899'264, 45'377'800, 51'622'912, 50'532'352}});
  test::check_measured(
      {test::gpt2, single("amp-bf16", {"--checkpointing", "full"}), {41'379'840, 49'270'280, 56'263'680, 55'173'120}});
}
