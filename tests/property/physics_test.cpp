// Step time responds to the machine as physics says.
#include <filesystem>
#include <fstream>

#include "../plan/scenario.hpp"
#include "catch.hpp"
#include "sim/report/make_report.hpp"

using namespace shardsim;

namespace {

struct Case {
  Request request;
  Topology topology;
  Architecture architecture;
};

Case load(const std::vector<std::string>& words) {
  Case loaded{test::request(words), {}, {}};
  Scenario scenario = load_scenario(loaded.request, test::data());
  loaded.topology = std::move(scenario.topology);
  loaded.architecture = std::move(scenario.architecture);
  loaded.request =
      with_runtime_defaults(loaded.request, loaded.topology, loaded.architecture, loaded.topology.assumptions);
  return loaded;
}

Report report_of(const Case& loaded) {
  const PlannedRun planned = make_plan(loaded.request, loaded.topology, loaded.architecture);
  return make_report(loaded.request, loaded.topology, loaded.architecture, planned, run(planned.plan));
}

Case with_links(Case loaded, LinkKind kind, double factor) {
  loaded.topology.links.alter([&](Link& link) {
    if (link.kind == kind) link.bandwidth = link.bandwidth * factor;
  });
  return loaded;
}

double step_seconds(const Case& loaded) { return report_of(loaded).step.time_s; }

/// Two GPUs and one NUMA node; behind one switch or each behind its own.
std::filesystem::path two_gpus(bool shared_switch) {
  const auto file =
      std::filesystem::temp_directory_path() / (shared_switch ? "shardsim-shared.dot" : "shardsim-apart.dot");
  std::ofstream(file) << "graph pair {\n"
                         "  numa0 [kind=numa, cpu=\"EPYC-7742\", dram=\"1 TiB\", memory_bandwidth=\"204.8 GB/s\"];\n"
                         "  gpu0 [kind=gpu, device=\"RTX-4090\"];\n  gpu1 [kind=gpu, device=\"RTX-4090\"];\n"
                         "  sw0 [kind=pcie_switch];\n  sw1 [kind=pcie_switch];\n"
                         "  gpu0 -- sw0 [link=\"pcie4x16\"];\n"
                      << (shared_switch ? "  gpu1 -- sw0" : "  gpu1 -- sw1") << " [link=\"pcie4x16\"];\n"
                      << "  sw0 -- numa0 [link=\"pcie4x16\"];\n  sw1 -- numa0 [link=\"pcie4x16\"];\n}\n";
  return file;
}

const std::vector<std::string> offloaded{"--topology", "4xA100",       "--strategy", "zero3-offload",
                                         "--model",    "llama-3.2-1b", "--seq-len",  "1024"};
const std::vector<std::string> on_nvlink{"--topology", "8xH100",       "--strategy", "zero3",
                                         "--model",    "llama-3.2-1b", "--seq-len",  "1024"};

}  // namespace

TEST_CASE("Half the PCIe bandwidth slows an offloaded step, and one on NVLink not at all") {
  const Case copies = load(offloaded);
  CHECK(step_seconds(with_links(copies, LinkKind::pcie, 0.5)) > 1.1 * step_seconds(copies));
  const Case gathers = load(on_nvlink);
  CHECK(step_seconds(with_links(gathers, LinkKind::pcie, 0.5)) == Approx(step_seconds(gathers)).epsilon(1e-3));
  CHECK(step_seconds(with_links(gathers, LinkKind::nvlink, 0.25)) > 1.2 * step_seconds(gathers));
}

TEST_CASE("Slower host memory slows the CPU optimizer") {
  const Case copies = load(offloaded);
  const Report before = report_of(copies);
  const Report after = report_of(with_links(copies, LinkKind::memory, 0.25));
  CHECK(after.step.optimizer_s > 1.5 * before.step.optimizer_s);
}

TEST_CASE("Two GPUs behind one switch offload slower than two behind two") {
  const auto words = [](bool shared) {
    return std::vector<std::string>{"--topology", two_gpus(shared).string(), "--strategy", "fsdp-offload",
                                    "--model",    "tinyllama-1.1b",          "--seq-len",  "512"};
  };
  const Report together = report_of(load(words(true)));
  const Report apart = report_of(load(words(false)));
  CHECK(together.step.time_s > apart.step.time_s);
  CHECK(together.step.exposed_transfer_s > 1.5 * apart.step.exposed_transfer_s);
}

TEST_CASE("More compute hides more communication") {
  double before = 1;
  for (const std::string seq : {"512", "2048", "8192"}) {
    INFO(seq);
    const Report report = report_of(load({"--topology", "8xA100", "--strategy", "fsdp", "--model", "llama-3.2-1b",
                                          "--seq-len", seq, "--checkpointing", "full"}));
    const double exposed = report.step.exposed_communication_s / report.step.time_s;
    CHECK(exposed < before);
    before = exposed;
  }
}

TEST_CASE("The report names what an offloaded and what a large dense step are bound by") {
  const Report slow_bus = report_of(with_links(load(offloaded), LinkKind::pcie, 0.05));
  CHECK(slow_bus.bottleneck.resource.starts_with("pcie"));
  const Report slow_memory = report_of(with_links(load(offloaded), LinkKind::memory, 0.25));
  CHECK(slow_memory.bottleneck.resource == "cpu optimizer");
  const Report dense = report_of(load({"--topology", "8xH100", "--strategy", "fsdp", "--model", "llama-3-8b",
                                       "--seq-len", "8192", "--checkpointing", "full"}));
  CHECK(dense.bottleneck.resource == "compute");
}

TEST_CASE("A larger device changes no peak, only whether it fits") {
  Case small =
      load({"--topology", "4xA100-40GB", "--strategy", "zero2", "--model", "llama-3.2-3b", "--seq-len", "2048"});
  Case large = small;
  large.topology.devices.alter([](Device& device) { device.spec.memory = Bytes(device.spec.memory.value() * 4); });
  const Report tight = report_of(small);
  const Report roomy = report_of(large);
  CHECK(tight.devices.front().peak_allocated_bytes == roomy.devices.front().peak_allocated_bytes);
  CHECK(tight.devices.front().at_peak == roomy.devices.front().at_peak);
}

TEST_CASE("A step takes no less than its compute and no less than its busiest link") {
  for (const std::string strategy : {"ddp", "zero1", "zero2", "zero3", "fsdp", "zero3-offload", "fsdp-offload"}) {
    INFO(strategy);
    const Report report = report_of(
        load({"--topology", "8xRTX-4090", "--strategy", strategy, "--model", "tinyllama-1.1b", "--seq-len", "1024"}));
    CHECK(report.step.time_s >= report.step.compute_s);
    for (const LinkReport& link : report.links) {
      CHECK(static_cast<double>(link.bytes) <= link.bandwidth_Bps * report.step.time_s);
      CHECK(link.utilization <= 1);
    }
  }
}
