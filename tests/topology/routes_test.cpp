// Routes on machines whose wiring is known.
#include "data.hpp"

using namespace shardsim;

namespace {
DeviceId device(std::size_t i) { return DeviceId(i); }
}  // namespace

TEST_CASE("DGX A100: two GPUs share the uplink of their switch, four the DRAM of their socket") {
  const Topology t = load("dgx-a100");
  CHECK(path_of(t, t.host_to_device(device(0))) == "dram0 numa0>sw0 sw0>gpu0");
  CHECK(path_of(t, t.host_to_device(device(1))) == "dram0 numa0>sw0 sw0>gpu1");
  CHECK(path_of(t, t.device_to_host(device(7))) == "gpu7>sw3 sw3>numa1 dram1");
  CHECK(path_of(t, t.host_memory(device(5))) == "dram1");
  CHECK(path_of(t, t.device_to_device(device(0), device(7))) == "gpu0>nvswitch nvswitch>gpu7");
  CHECK(t.devices[4].socket == 1);
  CHECK(t.links[t.device_to_device(device(0), device(7))[0].link.index()].kind == LinkKind::nvlink);
  REQUIRE(t.storages.size() == 1);
  const std::vector<LinkUse> read = t.storage_to_host(StorageId(0));
  double dram = 0, drives = 0;
  for (const LinkUse& use : read) {
    if (t.links[use.link.index()].kind == LinkKind::memory) dram += use.share;
    if (t.links[use.link.index()].kind == LinkKind::nvme) drives += use.share;
  }
  CHECK(dram == Approx(1));
  CHECK(drives == Approx(1));
}

TEST_CASE("DGX-2: four GPUs below one root port") {
  const Topology t = load("dgx-2");
  for (std::size_t i = 0; i < 16; ++i) {
    const std::string n = std::to_string(i / 4), plx = std::to_string(i / 2), g = std::to_string(i),
                      s = std::to_string(i / 8);
    CHECK(path_of(t, t.host_to_device(device(i))) ==
          "dram" + s + " numa" + s + ">root" + n + " root" + n + ">plx" + plx + " plx" + plx + ">gpu" + g);
  }
  CHECK(t.is_switched(everyone(t)));
}

TEST_CASE("p4d: two GPUs and one NIC below each switch, and the NIC is shared") {
  const Topology t = load("2xp4d.24xlarge");
  CHECK(
      path_of(t, t.device_to_device(device(0), device(9))) ==
      "gpu0>host0:sw0 host0:sw0>host0:nic0 host0:nic0>network network>host1:nic0 host1:nic0>host1:sw0 host1:sw0>gpu9");
  CHECK(path_of(t, t.host_to_device(device(15))) == "host1:dram1 host1:numa1>host1:sw3 host1:sw3>gpu15");
}

TEST_CASE("each GPU has its own NIC where there are enough") {
  const Topology t = load("2xdgx-a100");
  for (std::size_t i = 0; i < 8; ++i) {
    const std::string nic = "host0:nic" + std::to_string(i);
    CHECK(path_of(t, t.device_to_device(device(i), device(8))).find(nic + ">network") != std::string::npos);
  }
  // Four EFA ports beside each GPU of a p5 work as one.
  const Topology p5 = load("2xp5.48xlarge");
  for (const LinkUse& use : p5.device_to_device(device(0), device(8))) {
    const Link& link = p5.links[use.link.index()];
    if (link.kind == LinkKind::nic) CHECK(link.bandwidth.bytes_per_second == Approx(50e9));
  }
}

TEST_CASE("RTX 4090: no peer-to-peer, so copies pass host memory twice, and cross the sockets once") {
  const Topology t = load("rtx-4090-8x");
  CHECK(path_of(t, t.device_to_device(device(0), device(1))) == "gpu0>numa0 2.00*dram0 numa0>gpu1");
  CHECK(path_of(t, t.device_to_device(device(0), device(4))) == "gpu0>numa0 2.00*dram0 numa0>numa1 numa1>gpu4");
  CHECK(!t.is_switched(everyone(t)));
  // Neither may a NIC read GPU memory.
  const Topology two = load("2xrtx-4090-8x");
  CHECK(path_of(two, two.device_to_device(device(4), device(12))) ==
        "gpu4>host0:numa1 2.00*host0:dram1 host0:numa1>host0:nic0 host0:nic0>network "
        "network>host1:nic0 host1:nic0>host1:numa1 2.00*host1:dram1 host1:numa1>gpu12");
}

TEST_CASE("A100 PCIe: NVLink in a pair, PCIe peer-to-peer beyond it") {
  const Topology t = load("a100-pcie-8x");
  CHECK(path_of(t, t.device_to_device(device(0), device(1))) == "gpu0>gpu1");
  CHECK(path_of(t, t.device_to_device(device(0), device(2))) == "gpu0>numa0 numa0>gpu2");
  CHECK(path_of(t, t.device_to_device(device(0), device(4))) == "gpu0>numa0 numa0>numa1 numa1>gpu4");
  CHECK(path_of(t, t.host_to_device(device(1))) == "dram0 numa0>gpu1");
}

TEST_CASE("RTX PRO 6000: a pair meets at its switch") {
  const Topology t = load("rtx-pro-6000-6x");
  CHECK(path_of(t, t.device_to_device(device(0), device(1))) == "gpu0>sw0 sw0>gpu1");
  CHECK(path_of(t, t.device_to_device(device(0), device(2))) == "gpu0>sw0 sw0>numa0 numa0>sw1 sw1>gpu2");
}

TEST_CASE("cube mesh: NVLink to neighbours, PCIe to the rest; GPUs forward nothing") {
  const Topology t = load("dgx-1v");
  CHECK(path_of(t, t.device_to_device(device(0), device(3))) == "gpu0>gpu3");
  CHECK(t.links[t.device_to_device(device(0), device(3))[0].link.index()].bandwidth.bytes_per_second == Approx(50e9));
  CHECK(t.links[t.device_to_device(device(0), device(1))[0].link.index()].bandwidth.bytes_per_second == Approx(25e9));
  CHECK(path_of(t, t.device_to_device(device(0), device(5))) == "gpu0>sw0 sw0>numa0 numa0>numa1 numa1>sw2 sw2>gpu5");
}

TEST_CASE("Grace Hopper: the host is reached over NVLink-C2C") {
  const Topology t = load("gh200");
  CHECK(path_of(t, t.host_to_device(device(0))) == "dram0 numa0>gpu0");
  CHECK(t.links[t.host_to_device(device(0))[1].link.index()].effective().bytes_per_second == Approx(369e9));
}

TEST_CASE("every route of every system is a chain of links from end to end") {
  for (const std::string& name : system_names(topologies())) {
    INFO(name);
    const Topology t = load("2x" + name);
    for (DeviceId a : everyone(t)) {
      CHECK(t.links[t.host_to_device(a).front().link.index()].kind == LinkKind::memory);
      CHECK(t.links[t.device_to_host(a).back().link.index()].kind == LinkKind::memory);
      for (DeviceId b : everyone(t)) {
        const std::vector<LinkUse> route = t.device_to_device(a, b);
        if (a == b) {
          CHECK(route.empty());
          continue;
        }
        REQUIRE(!route.empty());
        CHECK(t.name_of(route.front().link).starts_with(t.name_of(a) + ">"));
        CHECK(t.name_of(route.back().link).ends_with(">" + t.name_of(b)));
      }
    }
  }
}
