// What PEFT trains of the base itself: copies of modules (modules_to_save) and biases. Counts and types as peft 0.21.2
// has them (tests/model/adapter_recorded_test.cpp); GPT-2: 124 439 808 parameters, of them 38 597 376 in wte and 768 in
// each norm's weight; LoRA of rank 16 on c_attn: 12 * 16 * (768 + 2304) = 589 824.
#include "catch.hpp"
#include "plan/scenario.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "request/settings_text.hpp"
#include "sim/plan/fsdp_units.hpp"

using namespace shardsim;

namespace {

using Words = std::vector<std::string>;

constexpr std::int64_t base = 124'439'808, table = 38'597'376, lora = 589'824;

test::Planned planned(const std::string& strategy, const std::string& adapter, const Words& more = {},
                      bool original_parameters = false) {
  const SettingsText file(R"({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 16)" + adapter + "}", ".json");
  Words words{"--topology", strategy == "single" ? "1xA100" : "2xA100",
              "--strategy", strategy,
              "--model",    "gpt2",
              "--seq-len",  "128",
              "--peft",     file.path()};
  words.insert(words.end(), more.begin(), more.end());
  test::Planned all{test::request(words), {}, {}};
  all.request.fsdp.use_orig_params = original_parameters;
  all.scenario = load_scenario(all.request, test::data());
  all.request = with_runtime_defaults(all.request, all.scenario.topology, all.scenario.architecture,
                                      all.scenario.topology.assumptions);
  all.scenario.architecture = apply_adapter(std::move(all.scenario.architecture), all.request.peft);
  all.run = make_plan(all.request, all.scenario.topology, all.scenario.architecture);
  return all;
}

/// Bytes that rank 0 keeps to the end.
std::int64_t kept(const test::Planned& all, Category category) {
  const Program& program = all.run.plan.programs.front();
  std::int64_t sum = 0;
  for (const Instruction& instruction : program.instructions) {
    if (instruction.kind != Instruction::Kind::allocate && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    if (tensor.category == category)
      sum += instruction.kind == Instruction::Kind::allocate ? tensor.bytes : -tensor.bytes;
  }
  return sum;
}

const std::string copies = R"(, "modules_to_save": ["wte"])";
const std::string biases = R"(, "bias": "all")";

}  // namespace

TEST_CASE("a copy stands beside its frozen original, in the base's type, and so do its moments") {
  const test::Planned one = planned("single", copies);
  CHECK(one.scenario.architecture.trainable_count() == table + lora);
  CHECK(kept(one, Category::weights) == 2 * (base + table) + 4 * lora);
  CHECK(kept(one, Category::master_weights) == 0);
  CHECK(kept(one, Category::optimizer) == 4 * table + 8 * lora);
}

TEST_CASE("ZeRO and FSDP keep fp32 masters of copies, as of all that they train") {
  const test::Planned two = planned("zero2", copies);
  CHECK(kept(two, Category::weights) == 2 * (base + table + lora));
  CHECK(kept(two, Category::master_weights) == 4 * (table + lora) / 2);
  CHECK(kept(two, Category::optimizer) == 8 * (table + lora) / 2);
  // 50257 rows are padded to 2 x 25129.
  const test::Planned fsdp = planned("fsdp", copies);
  CHECK(kept(fsdp, Category::weights) == 2 * (base - table) / 2 + (2 + 4) * 25'129 * 768 + 4 * lora / 2);
}

TEST_CASE("DDP's buckets hold gradients of one type each") {
  const test::Planned two = planned("ddp", copies);
  std::vector<std::int64_t> buckets;
  for (const Tensor& tensor : two.run.plan.programs.front().tensors) {
    if (two.run.plan.labels[tensor.label.index()] == "ddp bucket") buckets.push_back(tensor.bytes);
  }
  REQUIRE(buckets.size() >= 2);
  CHECK(buckets[0] + buckets[1] == 2 * table + 4 * lora);
  CHECK(std::max(buckets[0], buckets[1]) == 2 * table);
  CHECK(kept(two, Category::buffers) - kept(planned("single", copies), Category::buffers) == 2 * table + 4 * lora);
}

TEST_CASE("biases are trained with their weights frozen") {
  // Of each layer: two norms, c_attn, both c_proj and c_fc; and the last norm.
  const std::int64_t count = 12 * (768 + 2304 + 768 + 768 + 3072 + 768) + 768;
  const test::Planned one = planned("single", biases);
  CHECK(one.scenario.architecture.trainable_count() == lora + count);
  CHECK(kept(one, Category::weights) == 2 * base + 4 * lora);
  CHECK(kept(one, Category::optimizer) == 8 * lora + 4 * count);
  const test::Planned own = planned("single", R"(, "bias": "lora_only")");
  CHECK(own.scenario.architecture.trainable_count() == lora + 12 * 2304);
}

TEST_CASE("what PyTorch refuses of mixed parts is refused with its reason") {
  const auto refused = [](const std::string& strategy, const std::string& adapter, const Words& more) {
    return refusal([&] { planned(strategy, adapter, more); });
  };
  CHECK_THAT(refused("single", copies, {"--precision", "fp16-mixed"}), Contains("unscale FP16 gradients"));
  CHECK_THAT(refused("ddp", biases, {"--precision", "fp16-mixed"}), Contains("unscale FP16 gradients"));
  CHECK_THAT(refused("fsdp1", biases, {}), Contains("uniform requires_grad"));
  CHECK_THAT(refused("single", R"(, "modules_to_save": ["mlp.c_fc"])", {"--quantization", "nf4"}),
             Contains("trains no integers"));
  CHECK_THAT(refused("single", R"(, "modules_to_save": ["score"])", {}), Contains("no module 'score'"));
  CHECK_THAT(refused("single", R"(, "modules_to_save": ["c_attn"])", {}), Contains("is a module to save"));
}

TEST_CASE("FSDP1 with original parameters gives a unit with trained biases gradients of all its elements") {
  const test::Planned mixed = planned("fsdp1", biases, {}, true);
  const auto units = flat_units(mixed.scenario.architecture, 2);
  // The root has the last norm's bias, each layer its own; behind them each matrix of LoRA.
  REQUIRE(units.size() == 1 + 12 + 24);
  for (const FlatUnit& unit : units) CHECK(unit.trained);
  CHECK(units[0].trained_elements == 768);
  CHECK(units[1].trained_elements == 768 + 2304 + 768 + 768 + 3072 + 768);
  CHECK(units[1].elements == 7'087'872);
  CHECK(kept(mixed, Category::optimizer) == 8 * (lora / 2 + 768 / 2 + 12 * (768 + 2304 + 768 + 768 + 3072 + 768) / 2));
}

TEST_CASE("without a wrap policy the root has all decoder layers") {
  const Architecture model = planned("single", "").scenario.architecture;
  const auto apart = fsdp_units(model, 0, 2, true), together = fsdp_units(model, 0, 2, true, false);
  CHECK(apart.size() == together.size() + 12);
  std::int64_t of_layers = 0, root = together.front().shard_elements();
  for (const FsdpUnit& unit : apart) {
    const bool is_layer = unit.first == unit.last && model.module(unit.first).layer >= 0;
    of_layers += is_layer ? unit.shard_elements() : 0;
  }
  CHECK(root == of_layers + apart.front().shard_elements());
  CHECK(together.front().reshard_after_forward);
}
