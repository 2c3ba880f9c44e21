// The ladder: every rung is a simulation that anybody can repeat, and the chosen one fits.
#include <algorithm>

#include "../plan/scenario.hpp"
#include "catch.hpp"
#include "model/core/error.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/search/advise.hpp"

using namespace shardsim;

namespace {

const std::vector<std::string> zoo{"gpt2", "llama-2-7b", "llama-2-13b", "llama-3-70b", "mistral-7b"};

Advice ask(const std::vector<std::string>& words, Aim aim = Aim::fit) {
  Evaluator evaluator(test::data());
  return advise(read_options(words), aim, evaluator, zoo);
}

const Rung& find(const Advice& advice, const std::string& change) {
  const auto rung =
      std::find_if(advice.ladder.begin(), advice.ladder.end(), [&](const Rung& r) { return r.change == change; });
  REQUIRE(rung != advice.ladder.end());
  return *rung;
}

/// Splits a command line as a shell would, without the program's name.
std::vector<std::string> words_of(const std::string& command) {
  std::vector<std::string> words;
  std::istringstream stream(command);
  for (std::string word; stream >> word;) words.push_back(word);
  words.erase(words.begin());
  return words;
}

}  // namespace

TEST_CASE("Mistral-7B on one A100: each rung is what simulate says by hand") {
  const Advice advice =
      ask({"--topology", "1xA100", "--strategy", "single", "--model", "mistral-7b", "--seq-len", "1024"});
  REQUIRE(advice.chosen);
  CHECK(advice.ladder.size() >= 6);
  for (const Rung& rung : advice.ladder) {
    INFO(command_line(rung.options));
    const Report report = simulate(parse_request(words_of(command_line(rung.options))), test::data());
    CHECK(report.devices.front().peak_used_bytes == rung.result.figures.peak_used_bytes);
    CHECK(report.step.time_s == rung.result.figures.step_time_s);
    CHECK(report.fits == (rung.result.status == PointStatus::fits));
  }
  const Rung& chosen = advice.ladder[*advice.chosen];
  CHECK_FALSE(chosen.trains_less);
  CHECK(chosen.result.status == PointStatus::fits);
  CHECK(find(advice, "QLoRA").trains_less);
}

TEST_CASE("A full fine-tune of 13B on a 24 GB card ends at offload and says how much host RAM that takes") {
  const Advice advice =
      ask({"--topology", "1xRTX-4090", "--strategy", "single", "--model", "llama-2-13b", "--seq-len", "1024"});
  REQUIRE(advice.chosen);
  const OptionTexts& options = advice.ladder[*advice.chosen].options;
  CHECK(options.at("strategy").value == "zero3-offload");
  CHECK(options.contains("host-memory"));
  CHECK_THAT(find(advice, "more host RAM").remark, Contains("GB of host RAM"));
  // The CPU optimizer takes no 8-bit states: what an earlier rung changed is taken back.
  CHECK_FALSE(options.contains("optimizer"));
  // Adapters fit as well, and train something else.
  REQUIRE_FALSE(advice.alternatives.empty());
  CHECK(advice.ladder[advice.alternatives.front()].change == "QLoRA");
}

TEST_CASE("The same tokens a step all the way down") {
  const Advice advice = ask({"--topology", "4xRTX-4090", "--strategy", "ddp", "--model", "llama-2-7b", "--seq-len",
                             "1024", "--micro-batch", "8"});
  for (const Rung& rung : advice.ladder) {
    const Request request = resolve_request(rung.options);
    CHECK(request.micro_batch * request.grad_accum == 8);
  }
  REQUIRE(advice.chosen);
}

TEST_CASE("What fits is left as it is, and the largest that fits is found") {
  const Advice advice = ask({"--topology", "1xA100", "--strategy", "single", "--model", "gpt2", "--seq-len", "512"});
  REQUIRE(advice.chosen == std::size_t{0});
  CHECK(advice.ladder.size() == 1);
  REQUIRE(advice.largest.micro_batch);
  const auto fits = [&](std::int64_t micro_batch) {
    return simulate(parse_request({"--topology", "1xA100", "--strategy", "single", "--model", "gpt2", "--seq-len",
                                   "512", "--micro-batch", std::to_string(micro_batch)}),
                    test::data())
        .fits;
  };
  CHECK(fits(*advice.largest.micro_batch));
  CHECK_FALSE(fits(*advice.largest.micro_batch + 1));
  CHECK(advice.largest.model == "gpt2");
}

TEST_CASE("What can't be is said, with the nearest that can") {
  const Advice advice =
      ask({"--topology", "desktop-rtx-4090", "--strategy", "fsdp", "--model", "llama-3-70b", "--host-memory", "64GiB"});
  if (!advice.chosen) {
    REQUIRE(advice.nearest);
  } else {
    CHECK(advice.ladder[*advice.chosen].options.at("host-memory").value != "64GiB");
  }
  // A quantized base is whole on every rank, so no number of GPUs makes it fit.
  const Advice none =
      ask({"--topology", "1xRTX-4090", "--strategy", "single", "--model", "llama-3-70b", "--peft", "qlora"});
  CHECK_FALSE(none.chosen);
  REQUIRE(none.nearest);
  CHECK(none.ladder.size() < 16);
  CHECK_THAT(refusal([] {
               ask({"--topology", "1xA100", "--strategy", "single", "--model", "gtp3"});
             }),
             Contains("gtp3"));
}

TEST_CASE("Faster is faster, and cheaper needs a price") {
  const Advice advice = ask({"--topology", "4xA100", "--strategy", "zero3", "--model", "gpt2", "--seq-len", "512",
                             "--grad-accum", "4", "--checkpointing", "full"},
                            Aim::faster);
  REQUIRE(advice.chosen);
  CHECK(advice.ladder[*advice.chosen].result.figures.tokens_per_s > advice.ladder.front().result.figures.tokens_per_s);
  CHECK_THAT(refusal([] {
               ask({"--topology", "1xA100", "--strategy", "single", "--model", "gpt2"}, Aim::cheaper);
             }),
             Contains("what this machine costs"));
  CHECK(ask({"--topology", "1xA100", "--strategy", "single", "--model", "gpt2", "--seq-len", "512", "--price", "2"},
            Aim::cheaper)
            .chosen);
}
