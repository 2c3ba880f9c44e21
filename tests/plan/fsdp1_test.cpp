// FSDP1's transients for Llama-3-8B on 8 GPUs: what is allocated beside shards and activations while each unit runs.
// Expected values by hand from the order of allocations in torch/distributed/fsdp/_runtime_utils.py and _flat_param.py.
#include "catch.hpp"
#include "scenario.hpp"

using namespace shardsim;

namespace {

constexpr double block = 218'112'000;
constexpr double rest = 2 * 525'336'576 + 4096;  // embedding, head and final norm: the root

using Words = std::vector<std::string>;
Words words(const std::string& strategy, const Words& more = {}) {
  Words all{"--topology", "8xH100", "--strategy", strategy, "--model", "llama-3-8b", "--seq-len", "128"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

bool is_transient(std::string_view label) {
  for (const char* known : {"mixed-precision shard", "flat parameter", "grad", "flat grad", "flat grad to reduce",
                            "padded flat grad", "uploaded shard"}) {
    if (label == known) return true;
  }
  return false;
}

/// The most that transients take in each place of the steady step.
std::map<std::string, double> transients(const test::Planned& planned) {
  std::map<std::string, double> most;
  test::replay(planned.run.plan, planned.run.plan.programs.front(), [&](const test::Live& live, const Mark& mark) {
    if (mark.step == 0) return;
    const std::string place =
        mark.layer >= 0 ? std::to_string(mark.layer) : planned.run.plan.labels[mark.label.index()];
    double& highest = most[(mark.phase == Phase::forward ? "forward " : "backward ") + place];
    highest = std::max(highest, static_cast<double>(live.total(is_transient)));
  });
  return most;
}

double sent(const test::Planned& planned, std::string_view label) {
  double bytes = 0;
  for (const Task& task : planned.run.plan.programs.front().tasks) {
    if (task.step != 1 || !task.transfer.valid() || planned.run.plan.labels[task.label.index()] != label) continue;
    bytes += planned.run.plan.transfers[task.transfer.index()].bytes;
  }
  return bytes;
}

}  // namespace

TEST_CASE("FSDP1 forward holds the root, one unit and its 16-bit shard") {
  const auto most = transients(test::plan(words("fsdp1")));
  CHECK(most.at("forward 0") == 2 * rest + 2 * block + 2 * block / 8);
  CHECK(most.at("forward 16") == 2 * rest + 2 * block + 2 * block / 8);
}

TEST_CASE("FSDP1 backward holds each gradient twice while it is flattened") {
  // Root gathered, the head's gradient waiting for the embedding's; the unit's weights, gradients and flat gradient.
  const double waiting = 2 * rest + 2 * 525'340'672.0;
  const auto none = transients(test::plan(words("fsdp1")));
  CHECK(none.at("backward 16") == waiting + 6 * block);
  // torch's BACKWARD_PRE gathers the next unit before; an fp32 reduction casts when the unit's weights are gone.
  const auto pre = transients(test::plan(words("fsdp1", {"--implementation", "torchtitan"})));
  CHECK(pre.at("backward 16") == waiting + 8 * block);
  const auto wide =
      transients(test::plan(words("fsdp1", {"--implementation", "torchtitan", "--reduce-dtype", "fp32"})));
  CHECK(wide.at("backward 16") == waiting + 8 * block);
  CHECK(wide.at("backward model.embed_tokens") >= 2 * rest + 4 * rest);
}

TEST_CASE("FSDP1 without resharding keeps the whole model gathered from forward to backward") {
  const auto most = transients(test::plan(words("fsdp1-grad-op")));
  CHECK(most.at("forward model.norm") == 2 * (rest + 32 * block));
}

TEST_CASE("FSDP1 pads each unit to the ranks, and all ranks hold alike") {
  const auto planned =
      test::plan({"--topology", "3xA100", "--strategy", "fsdp1", "--model", "gpt2", "--seq-len", "64"});
  const std::int64_t layer = 7'087'872;  // of GPT-2, with biases
  const std::int64_t outside = 124'439'808 - 12 * layer;
  const std::int64_t shards = 12 * ceil_div(layer, 3) + ceil_div(outside, 3);
  for (const Program& program : planned.run.plan.programs) {
    test::Live last;
    test::replay(planned.run.plan, program, [&](const test::Live& live, const Mark&) { last = live; });
    CHECK(last.by_label.at("flat shard") == 4 * shards);
    CHECK(last.by_label.at("exp_avg") == 4 * shards);
    for (const auto& [label, bytes] : last.by_label) {
      if (label == "flat shard" || label == "exp_avg" || label == "exp_avg_sq" || label == "cublas workspace" ||
          label == "model buffers")
        continue;
      INFO(label);
      CHECK(bytes == 0);
    }
  }
}

TEST_CASE("FSDP1 gathers layers twice, the root once, and reduces in 16 bits unless told otherwise") {
  const auto narrow = test::plan(words("fsdp1"));
  CHECK(sent(narrow, "all-gather") == Approx(7.0 / 8 * 2 * (2 * 32 * block + rest)));
  CHECK(sent(narrow, "reduce-scatter") == Approx(7.0 / 8 * 2 * (32 * block + rest)));
  const auto wide = test::plan(words("fsdp1", {"--reduce-dtype", "fp32"}));
  CHECK(sent(wide, "reduce-scatter") == Approx(7.0 / 8 * 4 * (32 * block + rest)));
  const auto kept = test::plan(words("fsdp1-grad-op"));
  CHECK(sent(kept, "all-gather") == Approx(7.0 / 8 * 2 * (32 * block + rest)));
}

TEST_CASE("The host of FSDP1 waits where two freed gathers may still be in use") {
  const auto planned = test::plan(words("fsdp1", {"--implementation", "torchtitan"}));
  std::size_t waits = 0;
  for (const Instruction& instruction : planned.run.plan.programs.front().instructions) {
    waits += instruction.kind == Instruction::Kind::synchronize ? 1 : 0;
  }
  // A gather waits when two frees are pending, and each takes one from the queue. First step, forward: layers 2 to 31;
  // backward: the root's second look, then layers 29 to 0 (the two gathers between find one free pending). The step
  // ends with four pending, so in the second step all 33 of forward wait, the root, layer 31, and layers 29 to 0.
  CHECK(waits == (30 + 1 + 30) + (33 + 1 + 1 + 30));
}

TEST_CASE("Offloaded FSDP1 keeps its states in host memory, and sends shards up and gradients down") {
  const auto planned = test::plan(words("fsdp1-offload"));
  test::Live last;
  test::replay(planned.run.plan, planned.run.plan.programs.front(),
               [&](const test::Live& live, const Mark&) { last = live; });
  const double parameters = 32 * block + rest;
  CHECK(static_cast<double>(last.by_label.at("host flat shard")) == 4 * parameters / 8);
  CHECK(static_cast<double>(last.by_label.at("host flat grad shard")) == 4 * parameters / 8);
  CHECK(static_cast<double>(last.by_label.at("host moments")) == 8 * parameters / 8);
  // fp32 shards in forward and again in backward, the root's too.
  CHECK(sent(planned, "upload shard") == Approx(2 * 4 * parameters / 8));
  CHECK(sent(planned, "download grad") == Approx(4 * parameters / 8));
}

TEST_CASE("Hybrid sharding sends 8 bytes a parameter over the shard group's ranks between nodes") {
  // All-reduce of an fp32 shard over 4 nodes: 2 * 4P/8 * 3/4 from each rank by ring; a tree sends 2 * 4P/8.
  const Words machine{"--topology", "4x8xH100", "--model", "llama-3-8b", "--seq-len", "128", "--reduce-dtype", "fp32"};
  const double parameters = 32 * block + rest;
  for (const std::string strategy : {"hsdp", "fsdp1-hsdp"}) {
    INFO(strategy);
    Words all = machine;
    all.insert(all.end(), {"--strategy", strategy});
    const auto planned = test::plan(all);
    const Plan& plan = planned.run.plan;
    double reduced = 0;
    double network = 0;
    for (const Task& task : plan.programs.front().tasks) {
      if (task.step != 1 || task.kind != TaskKind::collective) continue;
      const Transfer& transfer = plan.transfers[task.transfer.index()];
      const bool over_replicas = plan.labels[task.label.index()] == "all-reduce";
      if (over_replicas) reduced += transfer.bytes;
      for (std::uint32_t u = transfer.uses_begin; u < transfer.uses_end; ++u) {
        if (static_cast<LinkKind>(plan.links[plan.uses[u].link].kind) != LinkKind::nic) continue;
        CHECK(over_replicas);
        network += transfer.bytes * plan.uses[u].share;
      }
    }
    CHECK(reduced >= 2 * 4 * parameters / 8 * 3 / 4);
    CHECK(reduced <= 2 * 4 * parameters / 8 / 0.92 / 0.92);
    CHECK(network > 0);
  }
}

TEST_CASE("Hybrid sharding divides states by the node's ranks, and pays for two communicators") {
  const auto hybrid = test::plan({"--topology", "2x8xH100", "--strategy", "hsdp", "--model", "llama-3-8b", "--seq-len",
                                  "128", "--reduce-dtype", "bf16"});
  const auto full = test::plan({"--topology", "8xH100", "--strategy", "fsdp", "--model", "llama-3-8b", "--seq-len",
                                "128", "--reduce-dtype", "bf16"});
  const auto most = [](const test::Planned& planned, const std::string& label) {
    std::int64_t highest = 0;
    test::replay(planned.run.plan, planned.run.plan.programs.front(), [&](const test::Live& live, const Mark&) {
      const auto found = live.by_label.find(label);
      if (found != live.by_label.end()) highest = std::max(highest, found->second);
    });
    return highest;
  };
  const std::int64_t parameters = full.scenario.architecture.parameter_count();
  CHECK(most(hybrid, "sharded weight") == 4 * parameters / 8);
  CHECK(most(full, "sharded weight") == 4 * parameters / 8);
  // The all-reduced 16-bit shards stay until the end of backward beside their fp32 casts: 2P/8 more.
  CHECK(most(hybrid, "reduce-scatter output") == 2 * parameters / 8);
  CHECK(most(full, "reduce-scatter output") < 2 * parameters / 8 / 4);
  const std::int64_t nccl = hybrid.scenario.topology.devices.front().spec.nccl_memory.value();
  CHECK(hybrid.run.plan.programs.front().outside_bytes == full.run.plan.programs.front().outside_bytes + nccl);
}

TEST_CASE("On one node hybrid sharding is full sharding") {
  for (const auto& [hybrid, plain] : std::map<std::string, std::string>{{"hsdp", "fsdp"}, {"fsdp1-hsdp", "fsdp1"}}) {
    INFO(hybrid);
    const Report a =
        simulate(test::request({"--topology", "4xA100", "--strategy", hybrid, "--model", "gpt2"}), test::data());
    const Report b =
        simulate(test::request({"--topology", "4xA100", "--strategy", plain, "--model", "gpt2"}), test::data());
    CHECK(a.step.time_s == b.step.time_s);
    CHECK(a.devices.front().peak_used_bytes == b.devices.front().peak_used_bytes);
  }
}

TEST_CASE("FSDP1 on one GPU is refused, and so is unpinned offload") {
  CHECK_THROWS_WITH(test::plan({"--topology", "1xRTX-4090", "--strategy", "fsdp1"}), Catch::Contains("NO_SHARD"));
  CHECK_THROWS_WITH(test::plan({"--topology", "2xA100", "--strategy", "fsdp1-offload", "--pin-memory", "off"}),
                    Catch::Contains("FSDP1 pins"));
}
