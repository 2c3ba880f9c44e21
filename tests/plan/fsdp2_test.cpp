// FSDP2's transients, unit by unit, for Llama-3-8B on 8 GPUs with fp32 reduction: what is allocated beside shards and
// activations while each unit runs. Expected values by hand from the order of allocations in _fsdp_param_group.py:
// forward 2P_prev + 4P (wait_for_unshard's local variable keeps the previous unit's gather until this one is copied
// out), backward max(4P + 2P_next + 4P_prev, 6P + 2P_next).
#include "catch.hpp"
#include "scenario.hpp"

using namespace shardsim;

namespace {

constexpr double block = 218'112'000, head = 525'336'576;

class Transients {
 public:
  explicit Transients(const std::vector<std::string>& words) : planned_(test::plan(words)) {
    test::replay(planned_.run.plan, planned_.run.plan.programs.front(), [&](const test::Live& live, const Mark& mark) {
      if (mark.step == 0) return;
      const std::int64_t bytes = live.total([](std::string_view label) {
        return label == "all-gather input" || label == "all-gather output" || label == "unsharded weight" ||
               label == "grad" || label == "reduce-scatter input";
      });
      const std::string place =
          mark.layer >= 0 ? std::to_string(mark.layer) : planned_.run.plan.labels[mark.label.index()];
      auto& highest = by_place_[(mark.phase == Phase::forward ? "forward " : "backward ") + place];
      highest = std::max(highest, bytes);
    });
  }
  double at(const std::string& place) const {
    INFO(place);
    REQUIRE(by_place_.count(place) == 1);
    return static_cast<double>(by_place_.at(place));
  }

 private:
  test::Planned planned_;
  std::map<std::string, std::int64_t> by_place_;
};

const std::vector<std::string> words{"--topology", "8xH100",    "--strategy", "fsdp",           "--model",
                                     "llama-3-8b", "--seq-len", "128",        "--reduce-dtype", "fp32"};

}  // namespace

TEST_CASE("FSDP2 forward holds one unit twice and the gather of the unit before") {
  const Transients seen(words);
  CHECK(seen.at("forward model.embed_tokens") == 4 * head);
  CHECK(seen.at("forward 0") == 2 * head + 4 * block);
  CHECK(seen.at("forward 16") == 6 * block);
  CHECK(seen.at("forward model.norm") ==
        Approx(2 * block + 4 * head).epsilon(1e-4));  // the final norm is part of the unit
}

TEST_CASE("FSDP2 backward holds gradients, the reduction's input and the next unit") {
  const Transients seen(words);
  CHECK(seen.at("backward model.norm") == Approx(6 * head + 2 * block).epsilon(1e-4));
  CHECK(seen.at("backward 31") == Approx(4 * block + 2 * block + 4 * head).epsilon(1e-4));
  CHECK(seen.at("backward 16") == 10 * block);
  CHECK(seen.at("backward 0") == 4 * block + 2 * head + 4 * block);
  CHECK(seen.at("backward model.embed_tokens") == 6 * head);
}

TEST_CASE("FSDP2 without resharding keeps the whole model gathered from forward to backward") {
  std::vector<std::string> kept = words;
  kept[3] = "fsdp-grad-op";
  const auto planned = test::plan(kept);
  std::int64_t most = 0;
  test::replay(planned.run.plan, planned.run.plan.programs.front(), [&](const test::Live& live, const Mark&) {
    most = std::max(most, live.total([](std::string_view label) { return label == "unsharded weight"; }));
  });
  CHECK(most == 2 * planned.scenario.architecture.parameter_count());
}

TEST_CASE("FSDP2 keeps 12 bytes a parameter over the ranks between steps, and nothing else") {
  const auto planned = test::plan(words);
  test::Live last;
  test::replay(planned.run.plan, planned.run.plan.programs.front(),
               [&](const test::Live& live, const Mark&) { last = live; });
  const std::int64_t parameters = planned.scenario.architecture.parameter_count();
  CHECK(last.by_label.at("sharded weight") == 4 * parameters / 8);
  CHECK(last.by_label.at("exp_avg") + last.by_label.at("exp_avg_sq") == 8 * parameters / 8);
  for (const auto& [label, bytes] : last.by_label) {
    if (label == "sharded weight" || label == "exp_avg" || label == "exp_avg_sq" || label == "cublas workspace" ||
        label == "model buffers")
      continue;
    INFO(label);
    CHECK(bytes == 0);
  }
}
