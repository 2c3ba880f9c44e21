// Adapters beside everything that changes a step: laws that hold for each combination that a runtime allows.
#include <algorithm>
#include <map>
#include <set>

#include "../plan/scenario.hpp"
#include "catch.hpp"
#include "sim/plan/device_map.hpp"

using namespace shardsim;

namespace {

struct Way {
  std::string name;
  std::vector<std::string> words;
};
/// How a step is run. A quantized base does not run in fp8.
const std::vector<Way> ways = {
    {"eager", {}},
    {"compiled", {"--compile", "on"}},
    {"chunked loss", {"--loss", "chunked", "--implementation", "torchtitan"}},
    {"fused loss", {"--loss", "fused", "--implementation", "liger"}},
    {"selective", {"--checkpointing", "selective"}},
    {"compiled, checkpointed", {"--compile", "on", "--checkpointing", "full"}},
    {"fp8", {"--precision", "fp8-mixed"}},
    {"accumulated", {"--grad-accum", "2", "--checkpointing", "full", "--precision", "bf16"}},
};

struct Place {
  std::string strategy, machine;
};
const std::vector<Place> places = {
    {"single", "1xA100"},        {"ddp", "2xA100"},           {"zero1", "2xA100"},
    {"zero2-offload", "2xA100"}, {"zero3", "2xA100"},         {"fsdp", "2xA100"},
    {"fsdp-offload", "2xA100"},  {"fsdp-grad-op", "2xA100"},  {"hsdp", "2x2xA100"},
    {"fsdp1", "2xA100"},         {"fsdp1-grad-op", "2xA100"}, {"fsdp1-offload", "2xA100"},
    {"fsdp1-hsdp", "2x2xA100"},  {"device-map", "2xA100"},    {"zero3-nvme-optimizer", "dgx-a100"},
    {"zero3-nvme", "dgx-a100"},
};

bool works(const Place& place, const Way& way, const std::string& peft) {
  return peft != "qlora" || (way.name != "fp8" && place.strategy != "zero3-nvme");
}

std::vector<std::string> words_of(const Place& place, const Way& way, const std::string& peft) {
  std::vector<std::string> words = {"--topology", place.machine,  "--strategy", place.strategy,
                                    "--model",    "smollm2-135m", "--seq-len",  "256"};
  words.insert(words.end(), way.words.begin(), way.words.end());
  if (peft != "none") words.insert(words.end(), {"--peft", peft, "--lora-targets", "all-linear"});
  return words;
}

bool is_state(Category category) {
  return category == Category::weights || category == Category::master_weights || category == Category::gradients ||
         category == Category::optimizer;
}

/// What lives in all pools at the end of a step, by category.
using Held = std::map<Category, std::int64_t>;

struct Replayed {
  Held after_first, after_second;
  std::int64_t states() const {
    std::int64_t sum = 0;
    for (const auto& [category, bytes] : after_second) sum += is_state(category) ? bytes : 0;
    return sum;
  }
};

Replayed replayed(const Plan& plan) {
  Replayed result;
  for (const Program& program : plan.programs) {
    Held held;
    bool in_second = false;
    for (const Instruction& instruction : program.instructions) {
      if (instruction.kind == Instruction::Kind::mark && !in_second && program.marks[instruction.index].step == 1) {
        in_second = true;
        for (const auto& [category, bytes] : held) result.after_first[category] += bytes;
      }
      if (instruction.kind != Instruction::Kind::allocate && instruction.kind != Instruction::Kind::release) continue;
      const Tensor& tensor = program.tensors[instruction.index];
      held[tensor.category] += instruction.kind == Instruction::Kind::allocate ? tensor.bytes : -tensor.bytes;
    }
    for (const auto& [category, bytes] : held) result.after_second[category] += bytes;
  }
  return result;
}

}  // namespace

TEST_CASE("adapters beside any way of running a step: fewer states than full training, and no leak") {
  for (const Place& place : places) {
    const std::int64_t full = replayed(test::plan(words_of(place, ways.front(), "none")).run.plan).states();
    for (const Way& way : ways) {
      std::int64_t lora = 0;
      for (const std::string peft : {"lora", "qlora"}) {
        if (!works(place, way, peft)) continue;
        INFO(place.strategy << ", " << way.name << ", " << peft);
        const Replayed seen = replayed(test::plan(words_of(place, way, peft)).run.plan);
        // ZeRO-Offload makes its accumulation buffers in the first step, DDP rebuilds its buckets in the second.
        for (const Category category : {Category::activations, Category::logits, Category::workspace}) {
          CHECK(seen.after_first.count(category) == seen.after_second.count(category));
          if (seen.after_first.count(category) != 0)
            CHECK(seen.after_first.at(category) == seen.after_second.at(category));
        }
        CHECK(seen.states() == [&] {
          std::int64_t sum = 0;
          for (const auto& [category, bytes] : seen.after_first) sum += is_state(category) ? bytes : 0;
          return sum;
        }());
        CHECK(seen.states() < full);
        if (peft == "lora") lora = seen.states();
        // ZeRO-3 leaves quantized weights whole: half a byte on each rank, against two over all of them.
        if (peft == "qlora" && place.machine != "dgx-a100") CHECK(seen.states() < lora);
      }
    }
  }
}

TEST_CASE("the categories at a device's peak add up to what is allocated there, whatever the combination") {
  for (const Place& place : places) {
    for (const Way& way : {ways[1], ways[2], ways[3], ways[4], ways[6]}) {
      for (const std::string peft : {"lora", "qlora"}) {
        if (!works(place, way, peft)) continue;
        INFO(place.strategy << ", " << way.name << ", " << peft);
        const Report report = simulate(parse_request(words_of(place, way, peft)), test::data());
        CHECK(report.fits);
        CHECK(report.step.time_s > 0);
        for (const DeviceReport& device : report.devices) {
          std::int64_t sum = 0;
          for (const auto& [category, bytes] : device.at_peak) sum += bytes;
          CHECK(sum == device.peak_allocated_bytes);
        }
      }
    }
  }
}

TEST_CASE("frozen parameters are gathered twice and never reduced") {
  for (const std::string strategy : {"fsdp", "fsdp1", "hsdp", "fsdp1-hsdp"}) {
    INFO(strategy);
    const std::string machine = strategy.ends_with("hsdp") ? "2x2xA100" : "2xA100";
    const auto moved = [&](const std::string& peft) {
      const auto planned = test::plan({"--topology", machine, "--strategy", strategy, "--model", "smollm2-135m",
                                       "--seq-len", "256", "--peft", peft});
      std::map<std::string, double> bytes;
      const Plan& plan = planned.run.plan;
      for (const Task& task : plan.programs.front().tasks) {
        if (task.kind != TaskKind::collective || task.step != 1) continue;
        bytes[plan.labels[task.label.index()]] += plan.transfers[task.transfer.index()].bytes;
      }
      return bytes;
    };
    auto full = moved("none"), lora = moved("lora");
    CHECK(lora["all-gather"] == Approx(full["all-gather"]).epsilon(0.02));
    CHECK(lora["reduce-scatter"] < 0.02 * full["reduce-scatter"]);
    CHECK(lora["reduce-scatter"] > 0);
    if (machine == "2x2xA100") CHECK(lora["all-reduce"] < 0.02 * full["all-reduce"]);
  }
}

TEST_CASE("FSDP1 gathers each adapter's matrix by itself, once more where its layer is recomputed") {
  const auto gathers = [](const std::string& peft, const std::string& checkpointing) {
    const auto planned = test::plan({"--topology", "2xA100", "--strategy", "fsdp1", "--model", "smollm2-135m",
                                     "--seq-len", "256", "--peft", peft, "--checkpointing", checkpointing});
    std::int64_t count = 0;
    for (const Task& task : planned.run.plan.programs.front().tasks) {
      count += task.kind == TaskKind::collective && task.step == 1 &&
               planned.run.plan.labels[task.label.index()] == "all-gather";
    }
    return count;
  };
  constexpr std::int64_t layers = 30, matrices = 4 * layers;  // A and B of q_proj and v_proj
  // The root stays gathered from forward to backward.
  CHECK(gathers("none", "none") == 2 * layers + 1);
  CHECK(gathers("lora", "none") == 2 * layers + 1 + 2 * matrices);
  // Reentrant checkpoints lie around the layers' units.
  CHECK(gathers("lora", "full") == 3 * layers + 1 + 3 * matrices);
}

// Recorded with torch 2.13, peft 0.21.2 and transformers 4.57.1 on two CPU ranks, three layers: gather and free events.
TEST_CASE("FSDP1 lets a frozen layer go once the layer below is gathered") {
  const auto planned = test::plan({"--topology", "2xA100", "--strategy", "fsdp1", "--model", "tinyllama-1.1b",
                                   "--seq-len", "256", "--peft", "lora"});
  constexpr std::int64_t layer = 2 * 44'044'288, root = 2 * (2 * 65'536'000 + 2048);  // bf16, without adapters
  std::int64_t forward = 0, backward = 0;
  test::replay(planned.run.plan, planned.run.plan.programs.front(), [&](const test::Live& live, const Mark& mark) {
    if (mark.step != 1 || live.by_label.count("flat parameter") == 0) return;
    std::int64_t& most = mark.phase == Phase::forward ? forward : backward;
    most = std::max(most, live.by_label.at("flat parameter"));
  });
  CHECK(forward == Approx(root + layer).epsilon(0.002));
  CHECK(backward == Approx(root + 2 * layer).epsilon(0.002));
}

TEST_CASE("FSDP1 with CPU offload warns that accumulation overwrites") {
  const auto warnings = [](const std::string& strategy, const std::string& micro_steps) {
    return simulate(parse_request({"--topology", "2xA100", "--strategy", strategy, "--model", "gpt2", "--seq-len", "64",
                                   "--grad-accum", micro_steps}),
                    test::data())
        .warnings;
  };
  REQUIRE(warnings("fsdp1-offload", "2").size() == 1);
  CHECK_THAT(warnings("fsdp1-offload", "2").front(), Catch::Contains("overwrites"));
  CHECK(warnings("fsdp1-offload", "1").empty());
  CHECK(warnings("fsdp-offload", "2").empty());
}

TEST_CASE("the largest tensors are named by module and operator") {
  const Report report = simulate(parse_request({"--topology", "1xA100", "--strategy", "single", "--model",
                                                "smollm2-135m", "--seq-len", "512", "--peft", "lora"}),
                                 test::data());
  std::set<std::string> names;
  for (const auto& [name, bytes] : report.devices.front().largest) names.insert(name);
  CHECK(names.count("to") == 0);
  CHECK(names.count("model.embed_tokens.weight") == 1);
  CHECK(std::any_of(names.begin(), names.end(), [](const std::string& name) { return name.starts_with("mlp."); }));
}

TEST_CASE("a loss that applies a frozen head itself has no gradient of it") {
  for (const std::string loss : {"chunked", "fused"}) {
    INFO(loss);
    const std::string implementation = loss == "chunked" ? "torchtitan" : "liger";
    const auto peak = [&](const std::string& peft) {
      const auto planned =
          test::plan({"--topology", "1xA100", "--strategy", "single", "--model", "tinyllama-1.1b", "--seq-len", "256",
                      "--loss", loss, "--implementation", implementation, "--peft", peft, "--precision", "bf16"});
      std::int64_t most = 0;
      test::replay(planned.run.plan, planned.run.plan.programs.front(), [&](const test::Live& live, const Mark& mark) {
        if (mark.step != 0 || mark.phase != Phase::forward) return;
        most = std::max(most, live.total([](std::string_view label) {
          return label.starts_with("lm_head") && !label.ends_with(".weight");
        }));
      });
      return most;
    };
    constexpr std::int64_t head = 32000LL * 2048 * 2;
    CHECK(peak("none") >= head);
    CHECK(peak("lora") < head / 2);
  }
}

TEST_CASE("fp8 computes the gradients of frozen weights and drops them: as many products as full training") {
  const auto products = [](const std::string& precision, const std::string& peft) {
    const auto planned = test::plan({"--topology", "1xH100", "--strategy", "single", "--model", "smollm2-135m",
                                     "--seq-len", "256", "--precision", precision, "--peft", peft});
    return planned.run.executed_flops;
  };
  CHECK(products("bf16-mixed", "lora") < 0.8 * products("bf16-mixed", "none"));
  CHECK(products("fp8-mixed", "lora") > 0.85 * products("fp8-mixed", "none"));
}

TEST_CASE("frozen partitions on drives are read, and never written") {
  const auto storage = [](const std::string& peft) {
    const Report report = simulate(parse_request({"--topology", "dgx-a100", "--strategy", "zero3-nvme", "--model",
                                                  "llama-3-8b", "--seq-len", "256", "--peft", peft}),
                                   test::data());
    REQUIRE(report.storage.size() == 1);
    return report.storage.front();
  };
  const StorageReport full = storage("none"), lora = storage("lora");
  CHECK(lora.written_bytes * 100 < full.written_bytes);
  // bf16 in forward and in backward, less what stays gathered between them and norms, which are too small.
  constexpr double parameters = 8'030'261'248;
  CHECK(static_cast<double>(lora.read_bytes) < 4.01 * parameters);
  CHECK(static_cast<double>(lora.read_bytes) > 3 * parameters);
  CHECK(static_cast<double>(lora.peak_bytes) == Approx(2 * parameters).epsilon(0.01));
}

TEST_CASE("BF16_Optimizer keeps fp32 gradients of adapters alone") {
  Request request = test::request(
      {"--topology", "2xA100", "--strategy", "zero1", "--model", "smollm2-135m", "--seq-len", "256", "--peft", "lora"});
  request.zero.grad_accum_type = DType::f32;
  const Report report = simulate(request, test::data());
  std::int64_t gradients = 0;
  for (const auto& [category, bytes] : report.devices.front().at_peak) {
    if (category == Category::gradients) gradients = bytes;
  }
  const std::int64_t trained = report.model.trainable_parameters;
  CHECK(gradients >= 4 * trained);
  CHECK(gradients <= 8 * trained);
}

TEST_CASE("a device map places a quantized base by its estimated size, and adapters where their module lies") {
  const auto planned = test::plan({"--topology", "2xA100", "--strategy", "device-map", "--model", "llama-3-8b",
                                   "--seq-len", "256", "--peft", "qlora"});
  const DeviceMap map = map_devices(planned.request, planned.scenario.topology, planned.scenario.architecture);
  const Architecture& model = planned.scenario.architecture;
  std::set<std::int32_t> devices;
  for (std::size_t m = 0; m < model.modules.size(); ++m) {
    if (model.modules[m].layer < 0 || model.module(model.modules[m].parent).layer < 0) continue;
    CHECK(map.device[m] == map.device[model.modules[m].parent.index()]);
    devices.insert(map.device[m]);
  }
  CHECK(devices == std::set<std::int32_t>{0, 1});
}
