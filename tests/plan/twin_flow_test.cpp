// ZeRO-3's Twin-Flow: of n sub-groups the first int((1 - ratio) * n) are updated on the GPU (DeepSpeed 0.19.8,
// runtime/zero/stage3.py, _create_fp32_partitions).
#include "catch.hpp"
#include "plan/scenario.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "request/settings_text.hpp"

using namespace shardsim;

namespace {

test::Planned planned(const std::string& ratio, const std::vector<std::string>& more = {}) {
  const SettingsText file(R"({"bf16": {"enabled": true}, "zero_optimization": {"stage": 3, "sub_group_size": 10000000,
      "offload_optimizer": {"device": "cpu", "ratio": )" +
                              ratio + "}}}",
                          ".json");
  std::vector<std::string> words{"--topology", "2xA100", "--deepspeed", file.path(),
                                 "--model",    "gpt2",   "--seq-len",   "128"};
  words.insert(words.end(), more.begin(), more.end());
  return test::plan(words);
}

struct Held {
  std::int64_t device = 0, host = 0;
};

Held kept(const test::Planned& all, Category category) {
  const Program& program = all.run.plan.programs.front();
  Held held;
  for (const Instruction& instruction : program.instructions) {
    if (instruction.kind != Instruction::Kind::allocate && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    if (tensor.category != category) continue;
    (tensor.pool == Pool::device ? held.device : held.host) +=
        instruction.kind == Instruction::Kind::allocate ? tensor.bytes : -tensor.bytes;
  }
  return held;
}

}  // namespace

TEST_CASE("the ratio divides master weights and moments between host and device, and loses none") {
  const Held all = kept(planned("1.0"), Category::master_weights);
  CHECK(all.device == 0);
  const Held none = kept(planned("0.0"), Category::master_weights);
  CHECK(none.host == 0);
  CHECK(none.device == all.host);
  std::int64_t before = none.device;
  for (const std::string ratio : {"0.3", "0.6"}) {
    INFO(ratio);
    const test::Planned part = planned(ratio);
    const Held masters = kept(part, Category::master_weights), moments = kept(part, Category::optimizer);
    CHECK(masters.device + masters.host == all.host);
    CHECK(masters.device < before);
    CHECK(masters.device > 0);
    CHECK(moments.device == 2 * masters.device);
    CHECK(moments.host == 2 * masters.host);
    before = masters.device;
  }
}

TEST_CASE("DeepSpeed takes a ratio beside CPU Adam only") {
  CHECK_THAT(refusal([] { planned("0.5", {"--optimizer", "lion"}); }), Contains("Hybrid Optimizer"));
}
