// Placement against accelerate 1.15.0's get_balanced_memory and infer_auto_device_map (torch 2.13.0,
// transformers 5.23.0, models on the meta device in bf16): decoder layers on each GPU, on the CPU and on the disk, and
// where the head went.
#include "sim/plan/device_map.hpp"

#include "../request/contains.hpp"
#include "../request/refusal.hpp"
#include "catch.hpp"
#include "scenario.hpp"
#include "sim/report/report.hpp"

using namespace shardsim;

namespace {

constexpr std::int64_t gb = 1'000'000'000;

struct Placed {
  std::vector<std::int64_t> layers;  ///< by device: GPUs, CPU, disk
  std::int32_t head = 0;
};

Placed place(const std::string& model, const MaxMemory& memory, bool balanced) {
  const Architecture architecture = load_architecture(model, test::data().zoo);
  const DeviceMap map = infer_device_map(architecture, 2, balanced ? balanced_memory(architecture, 2, memory) : memory);
  Placed placed{std::vector<std::int64_t>(memory.gpus.size() + 2), 0};
  for (const ModuleId layer : architecture.layer_modules()) {
    ++placed.layers[static_cast<std::size_t>(map.device[layer.index()])];
  }
  for (std::size_t m = 0; m < architecture.modules.size(); ++m) {
    if (architecture.modules[m].name == "lm_head") placed.head = map.device[m];
  }
  return placed;
}

using Layers = std::vector<std::int64_t>;

Report report(const std::string& machine, const std::string& model = "llama-3-8b") {
  return simulate(
      test::request({"--topology", machine, "--strategy", "device-map", "--model", model, "--seq-len", "1024"}),
      test::data());
}

}  // namespace

TEST_CASE("Layers lie where accelerate puts them") {
  const Placed four = place("llama-3-8b", {{80 * gb, 80 * gb, 80 * gb, 80 * gb}, 500 * gb}, true);
  CHECK(four.layers == Layers{5, 10, 10, 7, 0, 0});
  CHECK(four.head == 3);
  CHECK(place("llama-3-8b", {{24 * gb, 24 * gb}, 100 * gb}, true).layers == Layers{14, 18, 0, 0});
  CHECK(place("mistral-7b", {{8 * gb, 8 * gb}, 3 * gb}, true).layers == Layers{16, 16, 0, 0});
  const Placed eight = place("llama-2-13b", {std::vector<std::int64_t>(8, 80 * gb), 500 * gb}, true);
  CHECK(eight.layers == Layers{4, 6, 6, 6, 6, 6, 6, 0, 0, 0});
  CHECK(eight.head == 7);
  CHECK(place("llama-2-7b", {{80 * gb}, 3 * gb}, true).layers == Layers{32, 0, 0});
}

TEST_CASE("What fits no GPU goes to the CPU, then to the disk, and room is kept for the largest layer") {
  const Placed cpu = place("llama-3-8b", {{10 * gb, 5 * gb}, 20 * gb}, false);
  CHECK(cpu.layers == Layers{18, 11, 3, 0});
  CHECK(cpu.head == 2);
  const Placed disk = place("llama-3-8b", {{6 * gb, 4 * gb}, 3 * gb}, false);
  CHECK(disk.layers == Layers{8, 9, 4, 11});
  CHECK(disk.head == 3);
  CHECK(place("llama-2-7b", {{12 * gb}, 3 * gb}, false).layers == Layers{27, 5, 0});
}

TEST_CASE("A tied head lies with its embedding") {
  const Placed balanced = place("gpt2", {{gb / 10, gb / 10, gb / 10}, gb}, true);
  CHECK(balanced.layers == Layers{0, 6, 6, 0, 0});  // the layers' causal masks count
  CHECK(balanced.head == 0);
  const Placed sequential = place("gpt2", {{gb / 5, gb / 10}, gb}, false);
  CHECK(sequential.layers == Layers{7, 5, 0, 0});
  CHECK(sequential.head == 0);
}

TEST_CASE("Each GPU's share is the model's, and 1.25 layers more") {
  const Architecture model = load_architecture("llama-3-8b", test::data().zoo);
  const MaxMemory shares = balanced_memory(model, 2, {{80 * gb, 80 * gb, 80 * gb, 80 * gb}, 500 * gb});
  CHECK(shares.gpus == std::vector<std::int64_t>{4'560'410'624, 4'560'410'624, 4'560'410'624, 80 * gb});
}

TEST_CASE("The devices work in turn, on one micro-batch") {
  const Report one = report("1xH200");
  const Report four = report("4xH200");
  CHECK(four.ranks == 1);
  CHECK(four.step.tokens == one.step.tokens);
  // Forward and backward take as long on four devices as on one; only the optimizer step runs on all at once.
  CHECK(four.step.time_s < one.step.time_s);
  CHECK(four.step.time_s > one.step.time_s - one.step.optimizer_s);
  CHECK(four.step.idle_s > 0.6 * four.step.time_s);
  // 16 B a parameter over all of them.
  double weights = 0;
  for (const DeviceReport& device : four.devices) {
    for (const auto& [category, bytes] : device.at_peak)
      weights += category == Category::weights ? static_cast<double>(bytes) : 0;
  }
  CHECK(weights == Approx(2.0 * 8'030'261'248).epsilon(1e-3));
}

TEST_CASE("On one GPU a device map is a single device's run") {
  const Report mapped = report("1xH200");
  const Report single = simulate(
      test::request({"--topology", "1xH200", "--strategy", "single", "--model", "llama-3-8b", "--seq-len", "1024"}),
      test::data());
  CHECK(mapped.step.time_s == single.step.time_s);
  CHECK(mapped.devices.front().peak_allocated_bytes == single.devices.front().peak_allocated_bytes);
}

TEST_CASE("The hidden state crosses to the next GPU and its gradient back") {
  const auto planned = test::plan({"--topology", "4xA100", "--strategy", "device-map", "--model", "llama-3-8b",
                                   "--seq-len", "1024", "--grad-accum", "2"});
  const Plan& plan = planned.run.plan;
  std::size_t moves = 0;
  double bytes = 0;
  for (const Program& program : plan.programs) {
    for (const Task& task : program.tasks) {
      if (task.kind != TaskKind::copy || task.step != 1) continue;
      ++moves;
      bytes += plan.transfers[task.transfer.index()].bytes;
    }
  }
  CHECK(moves == 2 * 2 * 3);  // two micro-steps, there and back, over three boundaries
  CHECK(bytes == 12.0 * 1024 * 4096 * 2);
}

TEST_CASE("Weights that no GPU holds cannot be trained") {
  const auto refused = [](const std::string& machine) { return refusal([&] { report(machine, "llama-2-70b"); }); };
  CHECK_THAT(refused("2xRTX-3090"), Contains("does not train") && Contains("zero3-offload"));
  CHECK_THAT(refusal([&] { report("2x8xA100"); }), Contains("one machine"));
}
