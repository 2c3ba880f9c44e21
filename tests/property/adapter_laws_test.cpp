// Laws of adapters under every strategy, and the sizes that people count on.
#include <numeric>

#include "../plan/scenario.hpp"
#include "catch.hpp"

using namespace shardsim;

namespace {

const std::vector<std::string> strategies{"single", "ddp",           "zero1", "zero2",        "zero2-offload",
                                          "zero3",  "zero3-offload", "fsdp",  "fsdp-grad-op", "fsdp-offload"};

Report simulated(const std::string& machine, const std::string& strategy, std::vector<std::string> more) {
  more.insert(more.begin(), {"--topology", machine, "--strategy", strategy});
  return simulate(parse_request(more), test::data());
}

std::string machine_for(const std::string& strategy) { return strategy == "single" ? "1xA100" : "2xA100"; }

/// Weights, masters, gradients and optimizer states in all pools, held between two steps.
std::int64_t states(const std::string& strategy, const std::string& peft) {
  const auto planned = test::plan({"--topology", machine_for(strategy), "--strategy", strategy, "--model",
                                   "smollm2-135m", "--seq-len", "256", "--peft", peft});
  std::int64_t bytes = 0;
  const Program& program = planned.run.plan.programs.front();
  for (const Instruction& instruction : program.instructions) {
    if (instruction.kind != Instruction::Kind::allocate && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    const bool is_state = tensor.category == Category::weights || tensor.category == Category::master_weights ||
                          tensor.category == Category::gradients || tensor.category == Category::optimizer;
    if (!is_state) continue;
    bytes += instruction.kind == Instruction::Kind::allocate ? tensor.bytes : -tensor.bytes;
  }
  return bytes;
}

/// What activations a plan still holds at its end.
std::int64_t left_behind(const std::string& strategy, const std::string& peft, std::vector<std::string> more) {
  more.insert(more.begin(), {"--topology", machine_for(strategy), "--strategy", strategy, "--model", "smollm2-135m",
                             "--seq-len", "256", "--peft", peft});
  const auto planned = test::plan(more);
  const Program& program = planned.run.plan.programs.front();
  std::int64_t live = 0;
  for (const Instruction& instruction : program.instructions) {
    const bool allocates = instruction.kind == Instruction::Kind::allocate;
    if (!allocates && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    if (tensor.category != Category::activations && tensor.category != Category::logits) continue;
    live += allocates ? tensor.bytes : -tensor.bytes;
  }
  return live;
}

std::int64_t peak(const Report& report) { return report.devices.front().peak_used_bytes; }

}  // namespace

TEST_CASE("states under QLoRA are at most those under LoRA, and these at most those of full fine-tuning") {
  for (const std::string& strategy : strategies) {
    INFO(strategy);
    const std::int64_t lora = states(strategy, "lora");
    CHECK(lora < states(strategy, "none"));
    CHECK(states(strategy, "qlora") < lora);
    const std::int64_t dora = states(strategy, "dora");
    CHECK(dora > lora);
    CHECK(static_cast<double>(dora) < 1.01 * static_cast<double>(lora));
    CHECK(states(strategy, "qdora") < lora);
    CHECK(states(strategy, "prompt") < lora);
    CHECK(states(strategy, "adapter") < states(strategy, "none"));
  }
}

TEST_CASE("DoRA keeps more than LoRA for backward, and takes longer; prompt tuning keeps least of all") {
  const auto simulate_with = [](const std::string& peft) {
    return simulated("1xA100", "single", {"--model", "llama-2-7b", "--peft", peft, "--seq-len", "1024"});
  };
  const Report lora = simulate_with("lora"), dora = simulate_with("dora"), prompt = simulate_with("prompt");
  CHECK(peak(dora) > peak(lora));
  CHECK(dora.step.time_s > lora.step.time_s);
  CHECK(peak(prompt) < peak(lora));
  CHECK(prompt.model.trainable_parameters == 20 * 4096);
  CHECK(simulate_with("adapter").model.trainable_parameters == 32 * 2 * (2 * 4096 * 256 + 4096 + 256));
  CHECK(dora.model.trainable_parameters == lora.model.trainable_parameters + 32 * 2 * 4096);
}

TEST_CASE("every method leaves nothing behind from step to step") {
  for (const std::string& strategy : strategies) {
    for (const std::string peft : {"dora", "qdora", "adapter", "prompt"}) {
      for (const std::string checkpointing : {"none", "full"}) {
        INFO(strategy << " " << peft << " " << checkpointing);
        CHECK(left_behind(strategy, peft, {"--checkpointing", checkpointing}) == 0);
      }
    }
  }
}

TEST_CASE("virtual tokens count in memory and not in throughput, and learned positions leave room for them") {
  const Report prompt = simulated("1xA100", "single", {"--model", "gpt2", "--peft", "prompt"});
  CHECK(prompt.step.tokens == 1024 - 20);
  CHECK_THROWS_WITH(simulated("1xA100", "single", {"--model", "gpt2", "--peft", "prompt", "--seq-len", "1024"}),
                    Catch::Contains("1044 tokens"));
  CHECK_THROWS_WITH(simulated("1xA100", "single", {"--model", "mpt-7b", "--peft", "prompt", "--seq-len", "512"}),
                    Catch::Contains("no prompt tuning"));
  CHECK_THROWS_WITH(simulated("1xA100", "single", {"--model", "falcon-7b", "--peft", "adapter", "--seq-len", "512"}),
                    Catch::Contains("bottleneck adapters"));
}

TEST_CASE("a frozen head has no gradient under the losses that compute it in forward") {
  const auto gradients = [](const std::string& loss, const std::string& peft) {
    Architecture model = load_architecture("smollm2-135m", test::data().zoo);
    Peft method;
    method.kind = peft == "lora" ? PeftKind::lora : PeftKind::none;
    model = apply_adapter(std::move(model), method);
    GraphOptions options;
    options.seq_len = 256;
    options.loss = loss == "fused" ? LossKind::fused : LossKind::chunked;
    std::int64_t bytes = 0;
    for (const Value& value : build_graph(model, options).values) bytes += value.is_gradient ? value.bytes : 0;
    return bytes;
  };
  for (const std::string loss : {"fused", "chunked"}) {
    CHECK(gradients(loss, "none") > 0);
    CHECK(gradients(loss, "lora") == 0);
  }
}

TEST_CASE("adapters leave nothing behind from step to step, checkpointed or not") {
  for (const std::string& strategy : strategies) {
    for (const std::string peft : {"lora", "qlora"}) {
      for (const std::string checkpointing : {"none", "full"}) {
        for (const std::string precision : {"bf16-mixed", "bf16", "amp-bf16"}) {
          if (peft == "qlora" && precision == "amp-bf16") continue;
          INFO(strategy << " " << peft << " " << checkpointing << " " << precision);
          CHECK(left_behind(
                    strategy, peft,
                    {"--lora-targets", "all-linear", "--checkpointing", checkpointing, "--precision", precision}) == 0);
        }
      }
    }
  }
}

TEST_CASE("only adapters are reduced: their bytes pass through DDP's all-reduce, twice what a rank holds of them") {
  const Report report =
      simulated("2xA100", "ddp", {"--model", "llama-2-7b", "--peft", "lora", "--lora-rank", "8", "--seq-len", "512"});
  CHECK(report.model.trainable_parameters == 4'194'304);
  double most = 0;
  for (const LinkReport& link : report.links) {
    if (link.kind == "nvlink") most = std::max(most, static_cast<double>(link.bytes));
  }
  CHECK(most < 2.5 * 4 * 4'194'304);  // fp32 gradients; the base's would be three hundred times as much
  CHECK(most >= 4.0 * 4'194'304 / 12);
}

TEST_CASE("7B under QLoRA fits cards of 12 to 24 GB") {
  for (const std::string model : {"llama-2-7b", "mistral-7b"}) {
    const Report report = simulated("1xRTX-4090", "single",
                                    {"--model", model, "--peft", "qlora", "--lora-targets", "all-linear", "--seq-len",
                                     "1024", "--checkpointing", "full"});
    CHECK(report.fits);
    CHECK(peak(report) < std::int64_t{12} << 30);
    CHECK(peak(report) > std::int64_t{5} << 30);
  }
}

TEST_CASE("65B under QLoRA fits one card of 48 GB") {
  const Report report = simulated("1xRTX-A6000", "single",
                                  {"--model", "llama-65b", "--peft", "qlora", "--lora-targets", "all-linear",
                                   "--seq-len", "512", "--checkpointing", "full"});
  CHECK(report.fits);
  CHECK(report.model.trainable_parameters == 199'884'800);  // 80 layers x 16 x (4 x 2 x 8192 + 3 x (8192 + 22016))
}

TEST_CASE("a quantized base is whole on every rank but under FSDP") {
  const auto weights = [](const std::string& strategy) {
    const Report report =
        simulated("4xA100", strategy,
                  {"--model", "llama-3-8b", "--peft", "qlora", "--seq-len", "4096", "--micro-batch", "4",
                   "--kbit-upcast", strategy == "ddp" ? "on" : "off", "--checkpointing", "full"});
    REQUIRE_THAT(report.devices.front().peak_at, !Catch::Contains("load"));
    for (const auto& [category, bytes] : report.devices.front().at_peak) {
      if (category == Category::weights) return static_cast<double>(bytes);
    }
    return 0.0;
  };
  const double quantized = 6'979'321'856 * 0.515869, head_and_embedding = 2 * 128256.0 * 4096;
  CHECK(weights("ddp") == Approx(quantized + 4 * head_and_embedding).epsilon(0.01));
  CHECK(weights("zero2") == Approx(quantized + 2 * head_and_embedding).epsilon(0.01));
  CHECK(weights("zero3") == Approx(quantized + 2 * head_and_embedding / 4).epsilon(0.01));
  CHECK(weights("fsdp") ==
        Approx(quantized / 4 + 6'979'321'856 * 0.015869 * 3 / 4 + 2 * head_and_embedding / 4).epsilon(0.02));
}

TEST_CASE("FSDP shards a base of bitsandbytes' 4-bit weights, and leaves GPTQ's buffers whole") {
  const auto states_of = [](const std::string& strategy, const std::string& quantization) {
    const Report report = simulated("4xA100", strategy,
                                    {"--model", "llama-3-8b", "--peft", "qlora", "--seq-len", "4096", "--micro-batch",
                                     "4", "--quantization", quantization, "--checkpointing", "full"});
    REQUIRE_THAT(report.devices.front().peak_at, !Catch::Contains("load"));
    for (const auto& [category, bytes] : report.devices.front().at_peak) {
      if (category == Category::weights) return static_cast<double>(bytes);
    }
    return 0.0;
  };
  for (const std::string strategy : {"fsdp", "fsdp1"}) {
    INFO(strategy);
    constexpr double base = 6'979'321'856, head_and_embedding = 2 * 128256.0 * 4096;
    CHECK(states_of(strategy, "nf4") == Approx(base * (0.5 / 4 + 0.0625) + 2 * head_and_embedding / 4).epsilon(0.02));
    CHECK(states_of(strategy, "gptq4") > base / 2);
  }
}

TEST_CASE("a 4-bit base is whole on each device before FSDP2 shards it, and never under FSDP1") {
  const auto load_peak = [](const std::string& strategy) {
    const Report report =
        simulated("4xA100", strategy, {"--model", "llama-3-8b", "--peft", "qlora", "--seq-len", "256"});
    return static_cast<double>(report.devices.back().phases.front().peak_allocated_bytes);
  };
  constexpr double quantized = 6'979'321'856 * 0.515869, head_and_embedding = 2 * 2 * 128256.0 * 4096;
  CHECK(load_peak("fsdp") == Approx(quantized + head_and_embedding).epsilon(0.02));
  // FSDP1 shards layer by layer; its root unit, embedding and head, passes beside a flat copy of itself.
  CHECK(load_peak("fsdp1") < 0.8 * load_peak("fsdp"));
}

TEST_CASE("saving the adapter writes what is trained and nothing else") {
  for (const std::string strategy : {"ddp", "zero2", "zero3", "fsdp"}) {
    INFO(strategy);
    const Report report = simulated(
        "4xA100", strategy,
        {"--model", "llama-2-7b", "--peft", "lora", "--lora-rank", "8", "--seq-len", "256", "--save", "adapter"});
    CHECK(report.fits);
  }
  CHECK_THROWS_WITH(simulated("4xA100", "ddp", {"--save", "adapter"}), Catch::Contains("no adapter to save"));
}

TEST_CASE("what a runtime does not do with adapters is refused for its own reason") {
  const auto refused = [](const std::string& strategy, std::vector<std::string> more, const std::string& why) {
    CHECK_THROWS_WITH(simulated("2xA100", strategy, std::move(more)), Catch::Contains(why));
  };
  refused("ddp", {"--peft", "lora", "--implementation", "megatron"}, "it has no adapters");
  refused("ddp", {"--peft", "qlora", "--precision", "fp8-mixed"}, "Float8Linear");
  refused("ddp", {"--peft", "qlora", "--precision", "fp32"}, "computes in 16 bits");
  refused("zero2", {"--peft", "qlora", "--kbit-upcast", "on"}, "the upcast is undone");
  refused("fsdp", {"--peft", "qlora", "--kbit-upcast", "on"}, "the upcast is undone");
  refused("fsdp1", {"--peft", "qlora", "--quantization", "int8"}, "flatten integer tensors");
  refused("fsdp", {"--peft", "qlora", "--quantization", "int8"}, "lose their scales");
  CHECK_THROWS_WITH(simulated("dgx-a100", "zero3-nvme", {"--peft", "qlora"}), Catch::Contains("swap buffers"));
}
