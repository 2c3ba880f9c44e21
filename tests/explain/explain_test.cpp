// An explanation accounts for every byte, with products that are exact.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "../plan/scenario.hpp"
#include "catch.hpp"
#include "sim/explain/arithmetic.hpp"
#include "sim/explain/comparison.hpp"
#include "sim/explain/explanation.hpp"

using namespace shardsim;

namespace {

Explanation explained(const std::vector<std::string>& words) {
  const Request request = test::request(words);
  return explain(request, load_scenario(request, test::data()));
}

const CategoryExplanation& find(const Explanation& explanation, Category category) {
  const auto entry = std::find_if(explanation.memory.begin(), explanation.memory.end(),
                                  [&](const CategoryExplanation& e) { return e.category == category; });
  REQUIRE(entry != explanation.memory.end());
  return *entry;
}

}  // namespace

TEST_CASE("Every byte of the peak stands in a group or is rounding") {
  for (const std::string strategy : {"ddp", "zero1", "zero3", "fsdp", "zero3-offload", "fsdp1"}) {
    for (const std::string peft : {"none", "lora"}) {
      INFO(strategy << " " << peft);
      const Explanation explanation = explained(
          {"--topology", "4xA100", "--strategy", strategy, "--model", "gpt2", "--seq-len", "512", "--peft", peft});
      std::int64_t all = 0;
      for (const CategoryExplanation& entry : explanation.memory) {
        std::int64_t sum = entry.rounding;
        for (const TensorGroup& group : entry.groups) {
          sum += group.bytes();
          CHECK(group.count > 0);
          CHECK_FALSE(group.since.empty());
        }
        CHECK(sum == entry.bytes);
        CHECK(entry.rounding >= 0);
        all += entry.bytes;
      }
      std::int64_t peak = 0;
      for (const DeviceReport& device : explanation.report.devices) peak = std::max(peak, device.peak_allocated_bytes);
      CHECK(all == peak);
    }
  }
}

TEST_CASE("Every byte of a host's peak stands in a group or is rounding, all its ranks together") {
  for (const std::string strategy :
       {"zero1-offload", "zero2-offload", "zero3-offload", "fsdp-offload", "fsdp1-offload"}) {
    INFO(strategy);
    const Explanation explanation =
        explained({"--topology", "4xA100", "--strategy", strategy, "--model", "gpt2", "--seq-len", "512"});
    REQUIRE(explanation.hosts.size() == 1);
    const HostExplanation& host = explanation.hosts.front();
    std::int64_t all = 0;
    for (const CategoryExplanation& entry : host.memory) {
      std::int64_t sum = entry.rounding;
      for (const TensorGroup& group : entry.groups) {
        sum += group.bytes();
        CHECK(group.count >= 1);
      }
      CHECK(sum == entry.bytes);
      CHECK(entry.rounding >= 0);
      CHECK_FALSE(entry.allocated_by.empty());
      all += entry.bytes;
    }
    CHECK(all == host.bytes);
    CHECK(host.bytes == explanation.report.hosts.front().peak_bytes);
    CHECK(host.rule.empty() == !strategy.starts_with("zero"));
  }
}

TEST_CASE("DeepSpeed's own estimate of the host stands beside what is simulated") {
  const Explanation explanation =
      explained({"--topology", "4xA100", "--strategy", "zero3-offload", "--model", "llama-2-7b", "--seq-len", "512"});
  const HostExplanation& host = explanation.hosts.front();
  CHECK(host.rule_bytes == 6'738'415'616.0 * 18 * 1.5);
  const auto moments = std::find_if(host.memory.begin(), host.memory.end(),
                                    [](const CategoryExplanation& e) { return e.category == Category::optimizer; });
  REQUIRE(moments != host.memory.end());
  CHECK(moments->bytes == 6'738'415'616 * 8);
}

TEST_CASE("Two reports, term by term") {
  const std::vector<std::string> common{"--topology", "4xA100", "--model", "gpt2", "--seq-len", "512", "--strategy"};
  std::array<OptionTexts, 2> options;
  std::array<Report, 2> reports;
  for (std::size_t side = 0; side < 2; ++side) {
    std::vector<std::string> words = common;
    words.emplace_back(side == 0 ? "ddp" : "fsdp-offload");
    options[side] = read_options(words);
    reports[side] = simulate(test::request(words), test::data());
  }
  const ReportComparison comparison = compare(options, reports);
  REQUIRE(comparison.options.size() == 1);
  CHECK(comparison.options.front().values == std::array<std::string, 2>{"ddp", "fsdp-offload"});
  for (const std::string part : {"device memory", "host RAM"}) {
    const std::string total = part == "device memory" ? "allocated" : "peak";
    for (std::size_t side = 0; side < 2; ++side) {
      double sum = 0, all = 0;
      for (const Term& term : comparison.terms) {
        if (term.part != part || term.name == "reserved" || term.name == "used") continue;
        (term.name == total ? all : sum) += term.values[side];
      }
      CHECK(sum == all);
    }
  }
}

TEST_CASE("The model's own numbers: Llama-2-7B under ZeRO-3 on four GPUs") {
  const Explanation explanation = explained({"--topology", "4xA100", "--strategy", "zero3", "--model", "llama-2-7b"});
  CHECK(find(explanation, Category::weights).arithmetic == "6 738 415 616 parameters x 2 B / 4 ranks");
  CHECK(find(explanation, Category::optimizer).arithmetic == "6 738 415 616 parameters x 8 B / 4 ranks");
  const auto& activations = find(explanation, Category::activations);
  CHECK(activations.groups.front().arithmetic == "1 x 4096 tokens x 11008 ffn x 2 B");
  CHECK(activations.groups.front().layers == "layers 0 to 31");
  CHECK(activations.rule_bytes == 1.0 * 4096 * 4096 * 32 * 2);
  CHECK(find(explanation, Category::logits).rule_bytes == 4096.0 * 32000 * 2);
  CHECK(explanation.largest.size() == 20);
}

TEST_CASE("A product is exact or there is none") {
  const Request request =
      test::request({"--topology", "4xA100", "--strategy", "zero3", "--seq-len", "2048", "--micro-batch", "2"});
  const Architecture model = load_architecture("llama-2-7b", test::data().zoo);
  const Arithmetic arithmetic(request, model, 4, 4);
  CHECK(arithmetic.of(Category::activations, 2 * 2048 * 4096 * 2) == "2 x 2048 tokens x 4096 hidden x 2 B");
  CHECK(arithmetic.of(Category::logits, 2LL * 2048 * 32000 * 4) == "2 x 2048 tokens x 32000 vocabulary x 4 B");
  CHECK(arithmetic.of(Category::weights, 4096LL * 4096 * 2) == "4096 x 4096 (self_attn.q_proj) x 2 B");
  CHECK(arithmetic.of(Category::weights, 4096LL * 4096 * 2 / 4) == "4096 x 4096 (self_attn.q_proj) x 2 B / 4 ranks");
  CHECK(arithmetic.of(Category::activations, 12345677) == "");
}

TEST_CASE("Doubling what bounds the step helps most, and nothing makes it slower") {
  const Explanation explanation =
      explained({"--topology", "4xA100", "--strategy", "zero3-offload", "--model", "llama-2-7b", "--seq-len", "512"});
  const auto best = std::min_element(explanation.doubled.begin(), explanation.doubled.end(),
                                     [](const Doubled& a, const Doubled& b) { return a.step_s < b.step_s; });
  CHECK(best->what == "host memory");  // the CPU's optimizer step is most of it
  for (const Doubled& doubled : explanation.doubled) CHECK(doubled.step_s <= explanation.report.step.time_s * 1.001);
}

TEST_CASE("The work of the compute stream is what the step says it is") {
  const Explanation explanation =
      explained({"--topology", "1xA100", "--strategy", "single", "--model", "gpt2", "--seq-len", "512"});
  double seconds = 0;
  for (const WorkGroup& work : explanation.work) seconds += work.seconds;
  const StepReport& step = explanation.report.step;
  CHECK(seconds == Approx(step.time_s - step.idle_s).epsilon(0.02));
}
