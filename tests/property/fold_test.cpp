// Folding changes no bit: every shipped system, every strategy, fabrics and stragglers, on a model small enough for
// both.
#include <algorithm>

#include "../plan/measured.hpp"
#include "sim/engine/engine.hpp"

using namespace shardsim;

namespace {

struct Folded {
  ConfigFolder folder;
  std::string config = folder.write(test::llama).string();

  void check(std::vector<std::string> words) const {
    words.insert(words.end(), {"--model", config, "--seq-len", "64"});
    const auto folded = test::plan(words, Folding::on);
    const auto unfolded = test::plan(words, Folding::off);
    const Outcome few = run(folded.run.plan), all = run(unfolded.run.plan);
    CHECK(few.step_time.picoseconds() == all.step_time.picoseconds());
    for (std::size_t p = 0; p < folded.run.plan.programs.size(); ++p) {
      for (const std::uint32_t device : folded.run.plan.programs[p].devices) {
        REQUIRE(all.programs[device].device.allocated == few.programs[p].device.allocated);
        REQUIRE(all.programs[device].device.reserved == few.programs[p].device.reserved);
      }
    }
    // A class of links carried in each member what its members carry alone.
    for (std::size_t c = 0; c < folded.run.fold.links.size(); ++c) {
      for (const LinkId link : folded.run.fold.members(LinkClassId(c))) {
        const std::size_t alone = unfolded.run.fold.class_of(link).index();
        REQUIRE(all.links[alone].bytes == Approx(few.links[c].bytes).epsilon(1e-9).margin(1));
      }
    }
  }
};

const std::vector<std::string> strategies{
    "ddp",           "zero1", "zero2-offload", "zero3",         "zero3-offload",
    "zero3-nvme",    "fsdp",  "fsdp-offload",  "fsdp-grad-op",  "fsdp1",
    "fsdp1-grad-op", "zero2", "fsdp1-offload", "zero1-offload", "zero3-offload-param"};

}  // namespace

TEST_CASE("every shipped system under every strategy") {
  const Folded folded;
  for (const std::string& system : system_names(test::data().topologies)) {
    const Topology topology = load_topology(system, {}, test::data().topologies);
    if (topology.devices.size() < 2) continue;
    for (const std::string& strategy : strategies) {
      if (strategy == "zero3-nvme" && topology.storages.empty()) continue;
      INFO(system << " " << strategy);
      folded.check({"--topology", system, "--strategy", strategy});
    }
  }
}

TEST_CASE("several nodes, fabrics, stragglers, odd numbers of GPUs") {
  const Folded folded;
  for (const std::string& strategy :
       {std::string("zero3"), std::string("hsdp"), std::string("ddp"), std::string("zero3-offload")}) {
    INFO(strategy);
    folded.check({"--topology", "2x8xH100", "--strategy", strategy});
    folded.check({"--topology", "3x3xA100", "--strategy", strategy});
    folded.check({"--topology", "2xg5.48xlarge", "--strategy", strategy});
    folded.check({"--topology", "4x4xH100", "--strategy", strategy, "--fabric", "fat-tree:3:2"});
    folded.check({"--topology", "3x4xH100", "--strategy", strategy, "--fabric", "fat-tree:3:2"});
    folded.check({"--topology", "2x8xH100", "--strategy", strategy, "--fabric", "rail"});
    folded.check({"--topology", "2x4xA100", "--strategy", strategy, "--fabric", "ethernet:100G"});
    folded.check({"--topology", "2x4xA100", "--strategy", strategy, "--slow-gpu", "5:0.7"});
  }
  folded.check({"--topology", "5xA100", "--strategy", "zero3-offload"});
  folded.check({"--topology", "7xRTX-4090", "--strategy", "fsdp"});
  folded.check({"--topology", "dgx-2", "--strategy", "zero2-offload", "--slow-gpu", "0:0.9,7:0.5"});
}

TEST_CASE("512 GPUs one by one are 512 GPUs folded") {
  const Folded folded;
  folded.check({"--topology", "64x8xH100", "--strategy", "zero3"});
  folded.check({"--topology", "64x8xH100", "--strategy", "hsdp"});
}
