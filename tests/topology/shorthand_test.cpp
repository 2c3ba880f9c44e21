// Short names, and what the report is told about them.
#include <chrono>
#include <iostream>

#include "data.hpp"
#include "sim/topology/shorthand.hpp"

using namespace shardsim;

namespace {
bool mentions(const Topology& topology, const std::string& part) {
  for (const std::string& sentence : topology.assumptions) {
    if (sentence.find(part) != std::string::npos) return true;
  }
  return false;
}
double milliseconds(auto action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}
}  // namespace

TEST_CASE("4xA100 is half a DGX A100, and says so") {
  const Topology topology = load("4xA100");
  CHECK(topology.name == "4xA100-SXM4-80GB");
  REQUIRE(topology.devices.size() == 4);
  CHECK(topology.devices[3].spec.name == "A100-SXM4-80GB");
  CHECK(topology.hosts[0].memory == Bytes(std::int64_t{2} << 40));
  CHECK(topology.hosts[0].cores == 128);
  CHECK(mentions(topology, "A100 is taken as A100-SXM4-80GB"));
  CHECK(mentions(topology, "4 of the 8 GPUs of dgx-a100: 2x EPYC-7742, 2048 GiB of DRAM at 204.8 GB/s a NUMA node"));
  CHECK(topology.assumptions.size() == 2);
  CHECK(topology.is_switched(everyone(topology)));
}

TEST_CASE("each form of shorthand") {
  CHECK(load("8xH100").devices.size() == 8);
  CHECK(load("2x8xH100").hosts.size() == 2);
  CHECK(load("1xL40S").devices.size() == 1);
  CHECK(load("1xRTX-4090").hosts[0].memory == Bytes(std::int64_t{64} << 30));
  CHECK(mentions(load("1xRTX-4090"), "desktop-rtx-4090"));
  CHECK(mentions(load("4xRTX-4090"), "all GPUs of rtx-4090-4x"));
  CHECK(mentions(load("16xV100"), "all GPUs of dgx-2"));
  CHECK(load("16xV100").devices[0].spec.name == "V100-SXM2-32GB");
  CHECK(load("2xdgx-a100").devices.size() == 16);
  CHECK(load("DGX_A100").name == "dgx-a100");
  CHECK(load("2x2xA100-SXM4-80GB").devices.size() == 4);
}

TEST_CASE("a device without a system of its own gets an assumed box") {
  const Topology topology = load("3xRTX-A5000");
  CHECK(topology.devices.size() == 3);
  CHECK(topology.hosts[0].sockets == 1);
  CHECK(mentions(topology, "each GPU on its own pcie4x16 port"));
  CHECK(mentions(topology, "256 GiB of DRAM"));
  const Topology large = load("12xA100");
  CHECK(large.hosts[0].sockets == 2);
  CHECK(large.devices[5].socket == 0);
  CHECK(large.devices[6].socket == 1);
  CHECK(mentions(large, "joined by an NVSwitch"));
  CHECK(large.is_switched(everyone(large)));
  CHECK(load("2x1xRTX-5090").links.size() > 2);
  CHECK(mentions(load("2x1xRTX-5090"), "one 100GbE NIC"));
}

TEST_CASE("--gpu stands in for the device") {
  CHECK(load("8xA100", {.gpu = "A100-40GB"}).devices[0].spec.name == "A100-SXM4-40GB");
  CHECK(mentions(load("8xA100", {.gpu = "A100-40GB"}), "dgx-a100-40gb"));
  const Topology pcie = load("8xA100", {.gpu = "A100-PCIE-80GB"});
  CHECK(mentions(pcie, "a100-pcie-8x"));
  CHECK(!pcie.is_switched(everyone(pcie)));
  CHECK(load("dgx-a100", {.gpu = "A100-SXM4-40GB"}).devices[7].spec.name == "A100-SXM4-40GB");
  CHECK(load("2x4", {.gpu = "H100-SXM5-80GB"}).devices.size() == 8);
  CHECK(mentions(load("8xA100", {.gpu = "H200-SXM-141GB"}), "--gpu H200-SXM-141GB stands in for the A100"));
  CHECK(refusal([] { load("8x"); }).find("names no device") != std::string::npos);
  CHECK(refusal([] { load("8"); }).find("names no device") != std::string::npos);
}

TEST_CASE("host memory and drives can be overridden") {
  const Bytes memory(std::int64_t{512} << 30), drives(2'000'000'000'000);
  const Topology topology = load("2x4xA100", {.host_memory = memory, .nvme = drives});
  for (const Host& host : topology.hosts) CHECK(host.memory == memory);
  REQUIRE(topology.storages.size() == 2);
  CHECK(topology.storages[1].capacity == drives);
  CHECK(load("4xA100", {.nvme = Bytes(0)}).storages.empty());
  const Topology box = load("1xRTX-A5000", {.nvme = drives});
  REQUIRE(box.storages.size() == 1);
  CHECK(mentions(box, "NVMe-Gen4"));
}

TEST_CASE("wrong topologies are refused in one line that helps") {
  const auto complaint = [](std::string_view text) { return refusal([&] { load(text); }); };
  CHECK(complaint("").find("the topology is empty") != std::string::npos);
  CHECK(complaint("@topo.txt").find("cannot read 'topo.txt': No such file or directory (--topology)") !=
        std::string::npos);
  CHECK(complaint("0xA100").find("'0' is no usable count") != std::string::npos);
  CHECK(complaint("4x0xA100").find("'0' is no usable count") != std::string::npos);
  CHECK(complaint("99999999999999999999xA100").find("no usable count") != std::string::npos);
  CHECK(complaint("65xA100").find("do not fit one node") != std::string::npos);
  CHECK(complaint("60000x64xA100").find("are too many") != std::string::npos);
  CHECK(complaint("-4xA100").find("unknown topology '-4xA100'") != std::string::npos);
  CHECK(complaint("dgx-a10").find("dgx-a100") != std::string::npos);
  CHECK(complaint("4xA10O").find("unknown device 'A10O'") != std::string::npos);
  CHECK(complaint("4xEPYC-7742").find("is a cpu, not a gpu") != std::string::npos);
  CHECK(complaint("2x2x2xA100").find("unknown device") != std::string::npos);
  CHECK(refusal([] { load_topology("4xA100", {}, "/nonexistent"); }).find("cannot read") != std::string::npos);
}

TEST_CASE("scrambled topologies load or are refused, and nothing else escapes") {
  const std::string letters = "0123456789xxX-AH10d.gsv@/ ";
  std::uint32_t state = 1;
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (int length = 0; length < 1 + i % 9; ++length) {
      state = state * 1664525u + 1013904223u;
      text += letters[(state >> 16) % letters.size()];
    }
    INFO(text);
    try {
      const Topology topology = load(text);
      CHECK(!topology.devices.empty());
    } catch (const InputError& error) {
      CHECK(std::string(error.what()).find('\n') == std::string::npos);
    }
  }
}

TEST_CASE("16384 GPUs are built at once, and a small machine in no time") {
  load("4xA100");
  const double small = milliseconds([] { load("4xA100"); });
  std::size_t devices = 0;
  const double large = milliseconds([&] { devices = load("2048x8xH100").devices.size(); });
  std::cout << "loading 4xA100: " << small << " ms, 2048x8xH100: " << large << " ms\n";
  CHECK(devices == 16384);
  CHECK(small < 100);
  CHECK(large < 5000);
}
