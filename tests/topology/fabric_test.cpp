// What joins nodes, and GPUs that run slower than they should.
#include "sim/topology/fabric.hpp"

#include "data.hpp"
#include "sim/topology/fold.hpp"

using namespace shardsim;

namespace {

Topology joined(const std::string& text, const std::string& fabric) {
  TopologyOptions options;
  options.fabric = fabric;
  return load(text, options);
}

Topology slow(const std::string& text, const std::string& slow_gpus) {
  TopologyOptions options;
  options.slow_gpus = slow_gpus;
  return load(text, options);
}

const Link& link_of(const Topology& topology, const std::string& name) {
  return topology.links[link_named(topology, name).index()];
}

}  // namespace

TEST_CASE("fabrics by name") {
  CHECK(parse_fabric("").kind == Fabric::Kind::whole);
  CHECK(parse_fabric("rail").kind == Fabric::Kind::rail);
  CHECK(parse_fabric("fat-tree:2.5").oversubscription == 2.5);
  CHECK(parse_fabric("fat-tree:2").nodes_a_leaf == 1);
  CHECK(parse_fabric("fat-tree:2:4").nodes_a_leaf == 4);
  for (const char* speed :
       {"ethernet:25G", "ethernet:25Gb/s", "ethernet:25GbE", "ethernet:25Gbps", "ethernet:3.125GB/s"}) {
    INFO(speed);
    CHECK(parse_fabric(speed).port->bytes_per_second == Approx(3.125e9));
  }
  for (const char* wrong : {"ring", "fat-tree", "fat-tree:", "fat-tree:0.5", "fat-tree:2:0", "fat-tree:2:4:1", "rail:2",
                            "ethernet", "ethernet:", "ethernet:0G", "fat-tree:nan", "ethernet:25"}) {
    INFO(wrong);
    CHECK(refusal([&] { parse_fabric(wrong); }).find("--fabric") != std::string::npos);
  }
  CHECK(refusal([] { joined("8xH100", "rail"); }).find("the topology has one node, and a fabric joins several") == 0);
}

TEST_CASE("a fat tree's leaves carry their nodes' NICs over the oversubscription") {
  const Topology t = joined("4x8xH100", "fat-tree:2:2");
  // 8 NDR400 of 50 GB/s a node, two nodes, half of it.
  CHECK(link_of(t, "leaf0>spine").bandwidth.bytes_per_second == Approx(400e9));
  CHECK(t.links.size() == joined("4x8xH100", "").links.size() + 4);
  const auto crosses = [&](std::size_t a, std::size_t b) {
    return path_of(t, t.device_to_device(DeviceId(a), DeviceId(b)));
  };
  CHECK(crosses(0, 8).find("spine") == std::string::npos);
  CHECK(crosses(0, 16).find("leaf0>spine spine>leaf1") != std::string::npos);
  CHECK(crosses(24, 0).find("leaf1>spine spine>leaf0") != std::string::npos);
  CHECK(joined("3x8xH100", "fat-tree:4:2").links.back().bandwidth.bytes_per_second ==
        Approx(100e9));  // the last has one
}

TEST_CASE("rails: what another NIC serves goes there over NVLink") {
  const Topology t = joined("2x8xH100", "rail");
  CHECK(path_of(t, t.device_to_device(DeviceId(0), DeviceId(8))).find("nvswitch") == std::string::npos);
  const std::string relayed = path_of(t, t.device_to_device(DeviceId(0), DeviceId(9)));
  CHECK(relayed.find("gpu0>host0:nvswitch host0:nvswitch>gpu1") == 0);
  CHECK(relayed.find("host0:nic1>network network>host1:nic1") != std::string::npos);
}

TEST_CASE("Ethernet: one port a node, through host memory") {
  const Topology t = joined("2xdgx-a100", "ethernet:25G");
  const std::string path = path_of(t, t.device_to_device(DeviceId(0), DeviceId(8)));
  CHECK(path.find("host0:dram0") != std::string::npos);
  CHECK(path.find("host0:nic0>network network>host1:nic0") != std::string::npos);
  CHECK(link_of(t, "host0:nic0>network").bandwidth.bytes_per_second == Approx(3.125e9));
  std::size_t nics = 0;
  for (const Link& link : t.links) nics += link.kind == LinkKind::nic ? 1 : 0;
  CHECK(nics == 4);
}

TEST_CASE("slow GPUs: parsed, slowed, and a class of their own") {
  CHECK(parse_slow_gpus("", 8).empty());
  REQUIRE(parse_slow_gpus("3:0.8,5:0.5", 8).size() == 2);
  CHECK(parse_slow_gpus("3:0.8,5:0.5", 8)[1].device == 5);
  for (const char* wrong : {"3", "3:", "8:0.5", "3:0", "3:1.5", "3:0.8,3:0.7", "a:0.5", "3:nan", ",", "3:0.8,,"}) {
    INFO(wrong);
    CHECK(refusal([&] { parse_slow_gpus(wrong, 8); }).find("--slow-gpu") != std::string::npos);
  }
  const Topology fast = load("dgx-a100"), t = slow("dgx-a100", "3:0.8");
  CHECK(t.devices[3].spec.matmul_16bit.flops_per_second ==
        Approx(0.8 * fast.devices[3].spec.matmul_16bit.flops_per_second));
  CHECK(t.devices[3].spec.memory_bandwidth.bytes_per_second ==
        Approx(0.8 * fast.devices[3].spec.memory_bandwidth.bytes_per_second));
  CHECK(t.devices[2].speed == 1);
  CHECK(t.devices[3].speed == 0.8);
  const std::vector<std::uint64_t> role(8, 0);
  const Fold equal = fold_devices(fast, role), split = fold_devices(t, role);
  CHECK(equal.devices.size() == 1);
  // The straggler, the one behind its switch, those of its socket, those of the other.
  CHECK(split.devices.size() == 4);
  CHECK(split.class_of_device[3] != split.class_of_device[2]);
  CHECK(split.class_of_device[4] == split.class_of_device[7]);
}
