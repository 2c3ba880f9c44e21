// Loading and saving: Llama-3-8B (8 030 261 248 parameters) on eight H100, in decimal GB. Expected values by hand:
// - from_pretrained() holds 2P a rank; ZeRO-1/2 have originals and flat copy on the device at once, 2P + 2P;
// - DeepSpeed's checkpoint is 12P/N a rank, and 2P from rank 0 in stages 1 and 2; the 16-bit weights are 2P;
// - FSDP's full state is 4P of weights, then 8P of optimizer, each collected in rank 0's host memory.
#include "../request/contains.hpp"
#include "../request/refusal.hpp"
#include "catch.hpp"
#include "scenario.hpp"
#include "sim/report/report.hpp"

using namespace shardsim;

namespace {

constexpr double parameters = 8'030'261'248;
constexpr double head = 525'336'576;

Report report(const std::string& strategy, const std::vector<std::string>& more = {}) {
  std::vector<std::string> words{"--topology", "dgx-h100",   "--strategy", strategy,
                                 "--model",    "llama-3-8b", "--seq-len",  "128"};
  words.insert(words.end(), more.begin(), more.end());
  return simulate(test::request(words), test::data());
}

double peak(const std::vector<DevicePhase>& phases, const std::string& name) {
  for (const DevicePhase& phase : phases) {
    if (phase.phase == name) return static_cast<double>(phase.peak_allocated_bytes);
  }
  return -1;
}

double peak(const std::vector<HostPhase>& phases, const std::string& name) {
  for (const HostPhase& phase : phases) {
    if (phase.phase == name) return static_cast<double>(phase.peak_bytes);
  }
  return -1;
}

}  // namespace

TEST_CASE("Loading: every rank holds the model, or rank 0 alone, or none") {
  CHECK(peak(report("ddp").hosts.front().phases, "load") == 8 * 2 * parameters);
  CHECK(peak(report("zero2").hosts.front().phases, "load") == 8 * 2 * parameters);
  CHECK(peak(report("fsdp").hosts.front().phases, "load") == 2 * parameters);
  CHECK(peak(report("ddp", {"--precision", "amp-bf16"}).hosts.front().phases, "load") == 8 * 4 * parameters);
  // 2P/8 a rank on its way to the flat buffer.
  CHECK(peak(report("zero3").hosts.front().phases, "load") == Approx(2 * parameters).epsilon(1e-4));
}

TEST_CASE("ZeRO-1 and 2 have the parameters twice while they flatten them, where there is room") {
  CHECK(peak(report("zero2").devices.front().phases, "load") == Approx(4 * parameters).epsilon(0.003));
  const Report narrow = simulate(
      test::request({"--topology", "2xRTX-4090", "--strategy", "zero2", "--model", "llama-3-8b"}), test::data());
  CHECK(peak(narrow.hosts.front().phases, "load") == 2 * 4 * parameters);
}

TEST_CASE("The offloaded parameters' own pinned partitions stay in the pinned cache beside the flat buffer") {
  // The per-parameter partitions round up to powers of two, are freed, and serve nothing larger.
  const Report seen = report("zero3-offload-param");
  CHECK(peak(seen.hosts.front().phases, "steady step") >= 2 * 2 * parameters);
}

TEST_CASE("Each phase stands in the report, and the verdict is over all of them") {
  const Report seen = report("zero2", {"--save", "sharded"});
  std::vector<std::string> names;
  for (const DevicePhase& phase : seen.devices.front().phases) names.push_back(phase.phase);
  CHECK(names == std::vector<std::string>{"load", "first step", "steady step", "save"});
  for (const DeviceReport& device : seen.devices) {
    std::int64_t highest = 0;
    for (const DevicePhase& phase : device.phases) highest = std::max(highest, phase.peak_allocated_bytes);
    CHECK(highest == device.peak_allocated_bytes);
  }
  // Host memory that holds one copy of the model less than the ranks load.
  const Report short_of_ram = report("ddp", {"--host-memory", "120GB"});
  CHECK_FALSE(short_of_ram.hosts.front().fits);
  CHECK(report("fsdp", {"--host-memory", "120GB"}).hosts.front().fits);
}

TEST_CASE("What DeepSpeed writes") {
  const Report zero2 = report("zero2", {"--save", "sharded"});
  REQUIRE(zero2.save);
  CHECK(static_cast<double>(zero2.save->written_bytes) == Approx(14 * parameters).epsilon(1e-6));
  const Report zero3 = report("zero3", {"--save", "sharded"});
  CHECK(static_cast<double>(zero3.save->written_bytes) == Approx(12 * parameters).epsilon(1e-6));
  CHECK(static_cast<double>(zero3.storage.front().peak_bytes) == Approx(12 * parameters).epsilon(1e-6));
  const Report gathered = report("zero3", {"--save", "gathered-16bit"});
  CHECK(static_cast<double>(gathered.save->written_bytes) == Approx(2 * parameters).epsilon(1e-6));
  CHECK(peak(gathered.hosts.front().phases, "save") == Approx(2 * parameters).epsilon(1e-6));
  // One module at a time on the device: the embedding.
  CHECK(peak(gathered.devices.front().phases, "save") - peak(zero3.devices.front().phases, "save") ==
        Approx(2 * head).epsilon(0.01));
}

TEST_CASE("FSDP's full state gathers in rank 0's host memory what each rank's shards stay beside") {
  const Report full = report("fsdp", {"--save", "full"});
  const Report sharded = report("fsdp", {"--save", "sharded"});
  CHECK(peak(full.hosts.front().phases, "save") == 8 * parameters);
  CHECK(static_cast<double>(full.save->written_bytes) == 12 * parameters);
  CHECK(static_cast<double>(sharded.save->written_bytes) == 12 * parameters);
  CHECK(peak(full.devices.front().phases, "save") - peak(sharded.devices.front().phases, "save") ==
        Approx(4 * head).epsilon(0.001));
  CHECK(full.save->time_s > sharded.save->time_s);
}

TEST_CASE("A checkpoint is written at the drives' speed") {
  const Report seen = report("zero2", {"--save", "sharded"});
  double bandwidth = 0;
  for (const Link& link : load_topology("dgx-h100", {}, test::data().topologies).links) {
    if (link.kind == LinkKind::nvme)
      bandwidth += link.effective().bytes_per_second / 2;  // the two directions are alike
  }
  CHECK(seen.save->time_s >= static_cast<double>(seen.save->written_bytes) / bandwidth);
}

TEST_CASE("Saving changes nothing before it") {
  for (const std::string machine : {"dgx-a100", "2x8xH100", "dgx-1v"}) {
    for (const auto& [strategy, save] :
         std::vector<std::pair<std::string, std::string>>{{"ddp", "full"},
                                                          {"zero1", "sharded"},
                                                          {"zero2-offload", "gathered-16bit"},
                                                          {"zero3", "gathered-16bit"},
                                                          {"zero3-offload", "sharded"},
                                                          {"fsdp", "full"},
                                                          {"fsdp-offload", "full"}}) {
      INFO(machine << " " << strategy << " " << save);
      const std::vector<std::string> words{"--topology", machine, "--strategy", strategy,
                                           "--model",    "gpt2",  "--seq-len",  "256"};
      auto saving = words;
      saving.insert(saving.end(), {"--save", save});
      const Report without = simulate(test::request(words), test::data());
      const Report with = simulate(test::request(saving), test::data());
      CHECK(with.step.time_s == without.step.time_s);
      CHECK(with.step.compute_s == without.step.compute_s);
      CHECK(with.save->time_s > 0);
      for (std::size_t d = 0; d < with.devices.size(); ++d) {
        CHECK(peak(with.devices[d].phases, "steady step") == peak(without.devices[d].phases, "steady step"));
      }
    }
  }
}

TEST_CASE("A saving run folds as it unfolds") {
  for (const std::string strategy : {"zero2", "zero3-offload", "fsdp"}) {
    INFO(strategy);
    const std::vector<std::string> words{"--topology", "dgx-a100",  "--strategy", strategy, "--model",
                                         "gpt2",       "--seq-len", "128",        "--save", "sharded"};
    const Outcome few = run(test::plan(words, Folding::on).run.plan);
    const Outcome all = run(test::plan(words, Folding::off).run.plan);
    CHECK(few.save_time == all.save_time);
    CHECK(few.step_time == all.step_time);
    CHECK(few.hosts.front().by_stage.back().peak == all.hosts.front().by_stage.back().peak);
    CHECK(few.hosts.front().storage_peak == all.hosts.front().storage_peak);
  }
}

TEST_CASE("A checkpoint that the runtime does not write is refused with what it does") {
  const auto refused = [](const std::string& strategy, const std::string& save) {
    return refusal([&] {
      test::plan({"--topology", "4xA100", "--strategy", strategy, "--model", "gpt2", "--save", save});
    });
  };
  CHECK_THAT(refused("zero3", "full"), Contains("zero_to_fp32") && Contains("sharded"));
  CHECK_THAT(refused("fsdp", "gathered-16bit"), Contains("only DeepSpeed") && Contains("full"));
  CHECK_THAT(refused("ddp", "sharded"), Contains("no shards") && Contains("full"));
}
