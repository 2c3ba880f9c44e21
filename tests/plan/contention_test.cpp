// What shares a link waits for it, and the report says for which.
#include <algorithm>
#include <fstream>

#include "catch.hpp"
#include "scenario.hpp"
#include "sim/engine/engine.hpp"
#include "sim/engine/event_loop.hpp"
#include "sim/report/make_report.hpp"
#include "sim/simulate.hpp"
#include "tests/engine/plan_writer.hpp"

using namespace shardsim;

namespace {

/// Two A100 on one socket: behind one switch, or each on a port of its own.
class TwoGpus {
 public:
  TwoGpus(bool shares, const std::string& uplink)
      : path_(std::filesystem::temp_directory_path() / (shares ? "shardsim-shared.dot" : "shardsim-own.dot")) {
    std::ofstream file(path_);
    file << "graph box {\n  numa0 [kind=numa, cpu=\"EPYC-7742\", dram=\"1 TiB\", memory_bandwidth=\"204.8 GB/s\"];\n";
    if (shares) file << "  sw0 [kind=pcie_switch]; sw0 -- numa0 [link=" << uplink << "];\n";
    for (const char* gpu : {"gpu0", "gpu1"}) {
      file << "  " << gpu << " [kind=gpu, device=\"A100-PCIE-80GB\"];\n  " << gpu << " -- "
           << (shares ? "sw0 [link=pcie4x16]" : "numa0 [link=" + uplink + "]") << ";\n";
    }
    file << "}\n";
  }
  ~TwoGpus() { std::filesystem::remove(path_); }
  TwoGpus(const TwoGpus&) = delete;
  TwoGpus& operator=(const TwoGpus&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// Seconds until both GPUs have written 1 GB each to host memory.
double offload_seconds(const std::string& machine) {
  const Topology topology = load_topology(machine, {}, test::data().topologies);
  PlanWriter writer;
  for (const Link& link : topology.links) writer.link(link.effective().bytes_per_second);
  for (std::size_t g = 0; g < 2; ++g) {
    std::vector<TransferUse> uses;
    for (const LinkUse& use : topology.device_to_host(DeviceId(g)))
      uses.push_back({static_cast<std::uint32_t>(use.link.index()), use.share});
    writer.move(writer.program(), 0, writer.transfer(1e9, uses));
  }
  const Timeline timeline = play(writer.plan);
  return std::max(timeline.programs[0].spans[0].end, timeline.programs[1].spans[0].end).seconds();
}

Report report_of(const std::string& machine) {
  return simulate(
      test::request({"--topology", machine, "--strategy", "zero3-offload", "--model", "gpt2-xl", "--seq-len", "256"}),
      test::data());
}

}  // namespace

TEST_CASE("two GPUs behind one uplink take twice as long to offload as two with their own") {
  const TwoGpus shared(true, "pcie4x16"), own(false, "pcie4x16");
  CHECK(offload_seconds(shared.path()) == Approx(2 * offload_seconds(own.path())).epsilon(1e-9));
  CHECK(offload_seconds(own.path()) == Approx(1e9 / (31.5e9 * 0.83)).epsilon(1e-9));
}

TEST_CASE("the report names the shared uplink as the bottleneck") {
  // Slow enough that copies, not kernels, decide the step.
  const TwoGpus shared(true, "pcie3x2"), own(false, "pcie3x2");
  const Report together = report_of(shared.path()), apart = report_of(own.path());
  INFO(together.bottleneck.resource);
  CHECK(together.bottleneck.resource.starts_with("pcie "));
  CHECK((together.bottleneck.resource == "pcie sw0>numa0" || together.bottleneck.resource == "pcie numa0>sw0"));
  CHECK(together.step.exposed_transfer_s > 1.9 * apart.step.exposed_transfer_s);
}

TEST_CASE("a machine's own description is simulated, and what it leaves out is said") {
  const std::string file = "@" + std::string(SHARDSIM_SOURCE) + "/tests/topology/data/dgx_a100_40gb.txt";
  const Report report = simulate(
      test::request({"--topology", file, "--gpu", "A100-SXM4-40GB", "--strategy", "zero3-offload", "--model", "gpt2"}),
      test::data());
  CHECK(report.devices.size() == 8);
  CHECK(report.devices[0].name == "A100-SXM4-40GB");
  CHECK(std::any_of(report.assumptions.begin(), report.assumptions.end(), [](const std::string& sentence) {
    return sentence.find("PCIe links whose speed dgx_a100_40gb.txt does not give are taken as pcie4x16") == 0;
  }));
}

TEST_CASE("a straggler holds up everyone, and the report shows it by itself") {
  const auto words = [](const std::string& slow) {
    std::vector<std::string> all = {"--topology", "4xA100",  "--strategy", "ddp",
                                    "--model",    "gpt2-xl", "--seq-len",  "1024"};
    if (!slow.empty()) all.insert(all.end(), {"--slow-gpu", slow});
    return all;
  };
  const Report even = simulate(test::request(words("")), test::data());
  const Report uneven = simulate(test::request(words("3:0.5")), test::data());
  CHECK(uneven.step.time_s > 1.5 * even.step.time_s);
  CHECK(uneven.step.time_s < 2.1 * even.step.time_s);
  CHECK(uneven.step.mfu < even.step.mfu);
  REQUIRE(uneven.devices.size() == 4);
  CHECK(uneven.devices[3].name == "A100-SXM4-80GB at 0.5 of its speed");
  CHECK(uneven.devices[2].name == "A100-SXM4-80GB");
}

TEST_CASE("oversubscription and Ethernet slow a step down, rails do not") {
  const auto seconds = [](const std::string& fabric) {
    std::vector<std::string> words = {"--topology", "2x8xH100",   "--strategy", "zero3",
                                      "--model",    "llama-2-7b", "--seq-len",  "1024"};
    if (!fabric.empty()) words.insert(words.end(), {"--fabric", fabric});
    return simulate(test::request(words), test::data()).step.time_s;
  };
  const double whole = seconds("");
  CHECK(seconds("rail") == Approx(whole).epsilon(0.05));
  CHECK(seconds("fat-tree:1") == Approx(whole).epsilon(0.05));
  CHECK(seconds("fat-tree:4") > 1.5 * whole);
  CHECK(seconds("fat-tree:4:2") == Approx(whole).epsilon(1e-9));  // both nodes on one leaf
  CHECK(seconds("ethernet:25G") > 10 * whole);
}
