// The optimizer in a plan: where its states live, what its step holds for a moment, what it moves, who refuses it.
#include <algorithm>

#include "catch.hpp"
#include "model/core/error.hpp"
#include "scenario.hpp"
#include "sim/cost/constants.hpp"
#include "sim/plan/deepspeed.hpp"

using namespace shardsim;

namespace {

using Words = std::vector<std::string>;

const Words optimizers{"adamw",     "adamw-8bit", "paged-adamw", "paged-adamw-8bit", "adamw-bf16", "adafactor", "lion",
                       "lion-8bit", "muon",       "sgd",         "sgd-momentum"};

Words words(const std::string& topology, const std::string& strategy, const std::string& optimizer,
            const Words& more = {}) {
  Words all{"--topology", topology,  "--strategy", strategy,    "--optimizer",
            optimizer,    "--model", "gpt2",       "--seq-len", "128"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

bool is_state(std::string_view label) {
  for (const std::string_view name : {"exp_avg", "state1", "state2", "absmax", "qmap", "RMS", "momentum_buffer"}) {
    if (label.starts_with(name)) return true;
  }
  return false;
}

struct Seen {
  explicit Seen(const Words& all) : planned(test::plan(all)) {
    const Plan& plan = planned.run.plan;
    test::replay(plan, plan.programs.front(), [&](const test::Live& live, const Mark&) {
      for (const auto& [label, bytes] : live.by_label) most[label] = std::max(most[label], bytes);
      states = live.total(is_state);
    });
  }
  const Program& program() const { return planned.run.plan.programs.front(); }
  double moved(std::string_view label) const {
    double sum = 0;
    for (const Task& task : program().tasks) {
      if (task.step != 1 || planned.run.plan.labels[task.label.index()] != label) continue;
      sum += planned.run.plan.transfers[task.transfer.index()].bytes;
    }
    return sum;
  }
  /// Most bytes a second that the CPU optimizer may move.
  double cpu_rate() const {
    for (const Task& task : program().tasks) {
      if (task.kind == TaskKind::cpu) return planned.run.plan.transfers[task.transfer.index()].limit;
    }
    return 0;
  }
  /// Of the steady step.
  std::int64_t tasks(std::string_view label) const {
    const auto& all = program().tasks;
    return std::count_if(all.begin(), all.end(), [&](const Task& task) {
      return task.step == 1 && planned.run.plan.labels[task.label.index()] == label;
    });
  }
  test::Planned planned;
  std::map<std::string, std::int64_t> most;  ///< highest live bytes of a label
  std::int64_t states = 0;                   ///< of the optimizer on the device, at the end
};

std::string refusal(const Words& all) {
  try {
    test::plan(all);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("whole replicas keep exactly the states of every parameter") {
  for (const std::string precision : {"amp-bf16", "bf16", "bf16-mixed"}) {
    for (const std::string& optimizer : optimizers) {
      INFO(precision << " " << optimizer);
      const Seen seen(words("1xH100", "single", optimizer, {"--precision", precision}));
      const DType type = precision == "bf16" ? DType::bf16 : DType::f32;
      const auto tensors = optimized_parameters(seen.planned.scenario.architecture, type);
      CHECK(seen.states + seen.program().managed_bytes == state_bytes(seen.planned.request.optimizer, tensors));
      CHECK((seen.program().managed_bytes > 0) == is_paged(seen.planned.request.optimizer));
    }
  }
}

TEST_CASE("ZeRO's optimizer sees flat partitions, FSDP2's the rows that a rank owns") {
  const auto states = [](const std::string& strategy, const std::string& optimizer) {
    return Seen(words("4xA100", strategy, optimizer)).states;
  };
  // gpt2 has 124 439 808 parameters, 124 318 464 of them in matrices; both groups divide by 8.
  CHECK(states("zero2", "adafactor") == 124'439'808 / 4 * 4 + 2 * 4);
  CHECK(states("zero2", "lion") == 124'439'808 / 4 * 4);
  CHECK(states("zero1", "sgd") == 0);
  const std::int64_t matrices = 124'318'464 / 4, vectors = 121'344 / 4;
  CHECK(states("zero1", "adamw-8bit") ==
        2 * (matrices + 4 * ((matrices + 255) / 256) + vectors + 4 * ((vectors + 255) / 256) + 1024));
  CHECK(states("zero3", "lion-8bit") ==
        matrices + 4 * ((matrices + 255) / 256) + vectors + 4 * ((vectors + 255) / 256) + 1024);
  // 50257 rows of the embedding over 4 ranks: 12565 on the first.
  CHECK(states("fsdp", "sgd-momentum") == 4 * ((124'439'808 - 50257 * 768) / 4 + 12565 * 768));
}

TEST_CASE("Adafactor's names hold the last update, a square and the new update at once") {
  for (const std::string precision : {"fp32", "bf16"}) {
    const Seen seen(words("1xH100", "single", "adafactor", {"--precision", precision}));
    std::int64_t expected = 0, last = 0;
    for (const Parameter& parameter : seen.planned.scenario.architecture.parameters) {
      const std::int64_t bytes = 4 * parameter.numel;
      const std::int64_t copies = precision == "bf16" ? 2 * bytes : 0;
      expected = std::max(expected, last + 2 * bytes + copies);
      last = bytes;
    }
    CHECK(seen.most.at("adafactor update") == expected);
  }
}

TEST_CASE("foreach holds AdamW's square roots of all tensors, for-loop of one, SGD none") {
  const auto most = [](const std::string& optimizer, const std::string& implementation, const std::string& label) {
    const Seen seen(words("1xH100", "single", optimizer, {"--precision", "fp32", "--optimizer-impl", implementation}));
    const auto found = seen.most.find(label);
    return found == seen.most.end() ? 0 : found->second;
  };
  CHECK(most("adamw", "foreach", "foreach temporaries") == 4 * 124'439'808);  // a tensor each
  CHECK(most("adamw", "for-loop", "adamw root") == 4 * 50257 * 768);
  CHECK(most("adamw", "fused", "foreach temporaries") == 0);
  CHECK(most("sgd-momentum", "foreach", "foreach temporaries") == 0);
}

TEST_CASE("Muon multiplies each hidden matrix fifteen times") {
  const Seen seen(words("1xH100", "single", "muon"));
  for (const std::string product : {"muon gram", "muon polynomial", "muon orthogonalize"}) {
    CHECK(seen.tasks(product) == 5 * 4 * 12);
  }
  // Of one fp32 matrix of 768 x 3072: the update (4 B), bf16 operand and result, two Gram matrices and a polynomial.
  const std::int64_t elements = 768 * 3072, gram = 2 * 768 * 768;
  CHECK(seen.most.at("muon temporaries") == 4 * elements + 2 * 2 * elements + 2 * gram);
}

TEST_CASE("FSDP2's Muon gathers wide matrices and reduces the Gram matrices of tall ones") {
  // As recorded on 4 ranks: a wide matrix is gathered twice, its Gram matrix once, in each of five iterations. GPT-2's
  // Conv1D weights are [in, out]: per layer 768x2304, 768x768, 768x3072 are wide or square, 3072x768 is tall.
  const Seen seen(words("4xA100", "fsdp", "muon"));
  CHECK(seen.tasks("all-gather muon") == 12 * 3 * 5 * 3);
  CHECK(seen.tasks("all-reduce muon gram") == 12 * 5);
  CHECK(seen.tasks("all-reduce muon norm") == 12 * 4);
  CHECK(seen.most.at("muon gathered") == 2 * 768 * 3072);
  CHECK(refusal(words("4xA100", "fsdp-offload", "muon")).find("NCCL cannot gather") != std::string::npos);
}

TEST_CASE("ZeRO's Muon orthogonalizes every matrix that touches the partition, in the gradients' type") {
  // GPT-2's embeddings are called wte and wpe, so DeepSpeed tags them too: 124 318 464 elements of matrices, sorted by
  // shape. Rank 0 of 2 owns wte, nine layers' 3072 x 768, and all but 31 104 elements of a tenth.
  const std::int64_t touched = 50257 * 768 + 10 * 3072 * 768;
  const std::int64_t vectors = 124'439'808 - 124'318'464;
  for (const std::string strategy : {"zero1", "zero2"}) {
    INFO(strategy);
    const Seen seen(words("2xA100", strategy, "muon"));
    CHECK(seen.most.at("momentum_buffer") == 2 * touched);
    CHECK(seen.most.at("staged momentum") == 2 * touched);
    CHECK(seen.most.at("muon update") == 2 * touched);
    CHECK(seen.states == 2 * touched + 8 * vectors / 2);
    // Eleven matrices, none of them square.
    CHECK(seen.tasks("muon gram") == 11 * 2);
    CHECK(seen.tasks("muon polynomial") == 11 * 14);
    CHECK(seen.tasks("muon orthogonalize") == 11 * 2);
  }
}

TEST_CASE("ZeRO's Muon keeps the momentum that DeepSpeed keeps") {
  // DeepSpeed 0.19.8 over gloo, two ranks, stages 1 and 2 in bf16: elements of momentum_buffer, the same number in the
  // staging buffer, and elements of exp_avg; a GPT-2 of 4 layers of 64, vocabulary 1000, 128 positions.
  const Architecture gpt2 = test::plan(words("1xH100", "single", "adamw")).scenario.architecture;
  Architecture small = gpt2;
  std::erase_if(small.parameters, [](const Parameter& p) {
    const std::size_t at = p.name.find(".h.");
    return at != std::string::npos && std::stoi(p.name.substr(at + 3)) >= 4;
  });
  for (Parameter& parameter : small.parameters) {
    parameter.numel = 1;
    for (std::int64_t& side : parameter.shape) {
      side = side == 50257 ? 1000 : side == 1024 ? 128 : side / 12;
      parameter.numel *= side;
    }
  }
  const std::int64_t recorded[] = {137'728, 139'264};
  for (std::int64_t rank = 0; rank < 2; ++rank) {
    const std::vector<FlatGroup> groups = flat_groups(small, rank, 2, {.muon = true});
    REQUIRE(groups.size() == 2);
    std::int64_t touched = 0;
    for (const OwnedSlice& slice : groups[0].owned) touched += small.parameter(slice.parameter).numel;
    CHECK(touched == recorded[rank]);
    CHECK(groups[0].partition == 134'400);
    CHECK(groups[1].partition == 1728);
  }
}

TEST_CASE("paged states stay on the device while there is room, and move both ways each step when there is none") {
  const auto report = [](const std::string& device, const std::string& optimizer) {
    return simulate(test::request({"--topology", device, "--strategy", "single", "--model", "llama-3.2-1b", "--seq-len",
                                   "2048", "--precision", "amp-bf16", "--optimizer", optimizer}),
                    test::data());
  };
  const auto says = [](const Report& r, std::string_view text) {
    return std::any_of(r.assumptions.begin(), r.assumptions.end(),
                       [&](const std::string& sentence) { return sentence.find(text) != std::string::npos; });
  };
  const auto optimizer_on_host = [](const Report& r) {
    std::int64_t sum = 0;
    for (const auto& [category, bytes] : r.hosts.front().at_peak) sum += category == Category::optimizer ? bytes : 0;
    return sum;
  };
  const Report roomy = report("1xH100", "paged-adamw");
  const Report tight = report("1xRTX-4090", "paged-adamw");
  const Report plain = report("1xRTX-4090", "adamw");
  // Matrices are paged; 33 norms of 2048 are not.
  const std::int64_t paged = 8LL * (1'235'814'400 - 33 * 2048);
  CHECK(optimizer_on_host(roomy) == 0);
  CHECK(says(roomy, "find room on the device"));
  CHECK(optimizer_on_host(tight) == paged);
  CHECK(says(tight, "find no room on the device"));
  // Blocks of the allocator keep remainders below 1 MiB.
  const std::int64_t spared = plain.devices.front().peak_allocated_bytes - tight.devices.front().peak_allocated_bytes;
  CHECK(std::abs(spared - paged) <= std::int64_t{2} << 20);
  CHECK_FALSE(plain.fits);
  CHECK(tight.fits);
  CHECK(roomy.devices.front().peak_used_bytes >= roomy.devices.front().peak_reserved_bytes + paged);
  double pcie = 0;
  for (const LinkReport& link : tight.links) pcie += link.kind == "pcie" ? static_cast<double>(link.bytes) : 0;
  CHECK(pcie == Approx(2.0 * static_cast<double>(paged)));
}

TEST_CASE("what the runtimes refuse is refused, with the reason") {
  const auto check = [](const std::string& strategy, const Words& kinds, const std::string& reason) {
    for (const std::string& kind : kinds) {
      INFO(strategy << " " << kind);
      CHECK_THAT(refusal(words("4xA100", strategy, kind)), Catch::Matchers::Contains(reason));
    }
  };
  const Words bitsandbytes{"adamw-8bit", "paged-adamw", "paged-adamw-8bit", "lion", "lion-8bit"};
  check("fsdp", bitsandbytes, "take no DTensor");
  check("fsdp-grad-op-offload", bitsandbytes, "take no DTensor");
  check("fsdp", {"adafactor"}, "DTensors");
  check("fsdp1", {"muon"}, "parameters are flat");
  check("zero3", {"muon"}, "Muon and reduce scatter cannot be used together");
  check("zero1-offload", {"muon"}, "gathers offloaded gradients");
  check("zero2", {"adamw-bf16"}, "bf16 master weights");
  for (const std::string strategy : {"zero1-offload", "zero2-offload", "zero3-offload", "zero3-offload-optimizer"}) {
    check(strategy, {"adafactor", "adamw-8bit", "paged-adamw", "lion-8bit"}, "zero_force_ds_cpu_optimizer");
  }
  CHECK(refusal(words("4xA100", "zero3-offload-param", "adamw-8bit")).empty());
  CHECK(refusal(words("4xA100", "zero2", "adamw-bf16", {"--precision", "bf16"})).empty());
  CHECK_THAT(refusal(words("4xA100", "ddp", "adamw-bf16", {"--optimizer-impl", "foreach"})),
             Catch::Matchers::Contains("fused kernel only"));
}

TEST_CASE("torchrun leaves each rank's CPU optimizer one core, deepspeed all that there are") {
  const auto rate = [](const std::string& strategy, const Words& more) {
    return Seen(words("8xA100", strategy, "adamw", more)).cpu_rate();
  };
  const double core = cost_constants().cpu_core_bandwidth;
  CHECK(rate("fsdp-offload", {}) == core);
  CHECK(rate("zero3-offload", {"--cpu-threads", "1"}) == core);
  CHECK(rate("zero2-offload", {"--cpu-threads", "1"}) == core);
  const double all = rate("zero3-offload", {});  // memory bounds it
  CHECK(all > core);
  CHECK(rate("fsdp-offload", {"--cpu-threads", "64"}) == all);
  CHECK(rate("fsdp-offload", {"--cpu-threads", "1000000"}) == all);
  // 148 million parameters a second and core, each of 80 B and 8 for clipping.
  CHECK(rate("fsdp-offload", {"--optimizer-impl", "foreach"}) == Approx(1.48e8 * 88));
  CHECK(rate("zero3-offload", {"--cpu-threads", "1", "--optimizer-impl", "foreach"}) == core);
}

TEST_CASE("the CPU keeps Lion's one moment, and none for SGD") {
  const auto host_states = [](const std::string& optimizer) {
    const Seen seen(words("4xA100", "zero2-offload", optimizer));
    const auto found = seen.most.find("host moments");
    return found == seen.most.end() ? 0 : found->second;
  };
  CHECK(host_states("adamw") == 8 * 124'439'808 / 4);
  CHECK(host_states("lion") == 4 * 124'439'808 / 4);
  CHECK(host_states("sgd") == 0);
  // Reads of weight, gradient, moments, writes of weight, moments, unscaling and casting: 28, 20 and 12 + 16.
  const auto traffic = [](const std::string& optimizer) {
    return Seen(words("4xA100", "zero2-offload", optimizer)).moved("cpu optimizer") * 4 / 124'439'808;
  };
  CHECK(traffic("adamw") == Approx(44));
  CHECK(traffic("lion") == Approx(36));
  CHECK(traffic("sgd") == Approx(28));
}
