// Rings as NCCL would lay them.
#include <map>
#include <set>

#include "data.hpp"
#include "sim/topology/cycles.hpp"

using namespace shardsim;

namespace {

double total_weight(const std::vector<Ring>& rings) {
  double total = 0;
  for (const Ring& ring : rings) total += ring.weight;
  return total;
}

void check_members(const std::vector<Ring>& rings, std::size_t size) {
  for (const Ring& ring : rings) {
    CHECK(ring.order.size() == size);
    CHECK(std::set<DeviceId>(ring.order.begin(), ring.order.end()).size() == size);
  }
}

/// Sends of all rings over each link, in units of weight.
std::map<std::string, double> loads(const Topology& t, const std::vector<Ring>& rings) {
  std::map<std::string, double> loads;
  for (const Ring& ring : rings) {
    for (std::size_t i = 0; i < ring.order.size(); ++i) {
      for (const LinkUse& use : t.device_to_device(ring.order[i], ring.order[(i + 1) % ring.order.size()])) {
        loads[t.name_of(use.link)] += use.share * ring.weight;
      }
    }
  }
  return loads;
}

}  // namespace

TEST_CASE("one ring through an NVSwitch") {
  const Topology t = load("8xH100");
  const std::vector<Ring> rings = t.rings(everyone(t));
  REQUIRE(rings.size() == 1);
  check_members(rings, 8);
  CHECK(rings[0].weight == 1);
  for (const auto& [link, load] : loads(t, rings)) {
    INFO(link);
    CHECK(load == Approx(1));
  }
}

TEST_CASE("DGX-1: six directed rings use every NVLink once") {
  const Topology t = load("dgx-1v");
  const std::vector<Ring> rings = t.rings(everyone(t));
  check_members(rings, 8);
  CHECK(total_weight(rings) == Approx(1));
  const std::map<std::string, double> load = loads(t, rings);
  CHECK(load.size() == 32);  // both directions of 16 pairs, nothing else
  for (std::size_t i = 0; i < t.links.size(); ++i) {
    if (t.links[i].kind != LinkKind::nvlink) continue;
    const std::string name = t.name_of(LinkId(i));
    INFO(name);
    CHECK(load.at(name) == Approx(t.links[i].bandwidth.bytes_per_second / 25e9 / 6));
  }
}

TEST_CASE("a complete mesh is used as far as tours go") {
  const Topology four = load("a100-sxm-4x");
  const std::vector<Ring> rings = four.rings(everyone(four));
  check_members(rings, 4);
  CHECK(total_weight(rings) == Approx(1));
  for (const auto& [link, load] : loads(four, rings)) CHECK(load == Approx(1.0 / 3));
  // Eight peers with one link each: 7 links a GPU make 3 tours.
  const Topology amd = load("mi300x-8x");
  CHECK(amd.rings(everyone(amd)).size() == 6);
  CHECK(total_weight(amd.rings(everyone(amd))) == Approx(1));
  CHECK(loads(amd, amd.rings(everyone(amd))).size() == 48);
}

TEST_CASE("without enough NVLink the ring follows the bus") {
  const Topology t = load("a100-pcie-8x");
  const std::vector<Ring> rings = t.rings(everyone(t));
  REQUIRE(rings.size() == 1);
  CHECK(rings[0].order == everyone(t));
  // Three of a cube mesh that miss one link.
  const Topology cube = load("dgx-1v");
  const std::vector<DeviceId> group = {DeviceId(0), DeviceId(5), DeviceId(7)};
  CHECK(cube.rings(group).size() == 1);
  // Siblings stay together whatever their numbers.
  const ScratchFile file(
      "tree.dot",
      "graph g { numa0 [kind=numa, cpu=\"EPYC-7742\", dram=\"1 TiB\", memory_bandwidth=\"200 GB/s\"];\n"
      "sw0 [kind=pcie_switch]; sw1 [kind=pcie_switch];\n"
      "sw0 -- numa0 [link=pcie4x16]; sw1 -- numa0 [link=pcie4x16];\n"
      "gpu0 [kind=gpu, device=\"L40S\"]; gpu1 [kind=gpu, device=\"L40S\"];\n"
      "gpu2 [kind=gpu, device=\"L40S\"]; gpu3 [kind=gpu, device=\"L40S\"];\n"
      "gpu0 -- sw0 [link=pcie4x16]; gpu1 -- sw1 [link=pcie4x16];\n"
      "gpu2 -- sw0 [link=pcie4x16]; gpu3 -- sw1 [link=pcie4x16]; }\n");
  const Topology tree = load(file.path());
  const std::vector<DeviceId> bus = {DeviceId(0), DeviceId(2), DeviceId(1), DeviceId(3)};
  CHECK(tree.rings(everyone(tree))[0].order == bus);
}

TEST_CASE("a box with bridged pairs rings through the bridges, wherever they lead") {
  // 0-4, 1-5, 2-6 and 3-7 are bridged across two sockets of four.
  std::string text = "graph g {\n";
  for (const std::string numa : {"0", "1"}) {
    text += "numa" + numa + " [kind=numa, cpu=\"EPYC-7742\", dram=\"1 TiB\", memory_bandwidth=\"200 GB/s\"];\n";
  }
  text += "numa0 -- numa1 [link=xgmi2x4];\n";
  for (int g = 0; g < 8; ++g) {
    const std::string gpu = "gpu" + std::to_string(g);
    text += gpu + " [kind=gpu, device=\"A100-PCIE-80GB\"]; " + gpu + " -- numa" + (g < 4 ? "0" : "1") +
            " [link=pcie4x16];\n";
    if (g < 4) text += gpu + " -- gpu" + std::to_string(g + 4) + " [link=nvbridge3x12];\n";
  }
  const ScratchFile file("bridged.dot", text + "}\n");
  const Topology t = load(file.path());
  const std::vector<Ring> rings = t.rings(everyone(t));
  REQUIRE(rings.size() == 1);
  std::size_t bridges = 0;
  const std::map<std::string, double> load = loads(t, rings);
  for (std::size_t i = 0; i < t.links.size(); ++i) {
    const bool loaded = load.contains(t.name_of(LinkId(i)));
    if (t.links[i].kind == LinkKind::nvlink && loaded) ++bridges;
    if (t.links[i].kind == LinkKind::interconnect) CHECK_FALSE(loaded);
  }
  CHECK(bridges == 4);
  // A pair alone is as quick as its bridge; any third makes it a PCIe box.
  const Topology pairs = load_topology("a100-pcie-8x", {}, topologies());
  const std::vector<DeviceId> two = {DeviceId(0), DeviceId(1)}, three = {DeviceId(0), DeviceId(1), DeviceId(2)};
  for (const auto& [link, share] : loads(pairs, pairs.rings(two))) CHECK(link.find("numa") == std::string::npos);
  CHECK(loads(pairs, pairs.rings(three)).contains("gpu1>numa0"));
}

TEST_CASE("over nodes every NIC sends and receives its part") {
  const Topology t = load("4x8xH100");
  const std::vector<Ring> rings = t.rings(everyone(t));
  REQUIRE(rings.size() == 8);
  check_members(rings, 32);
  CHECK(total_weight(rings) == Approx(1));
  std::size_t nics = 0;
  const std::map<std::string, double> load = loads(t, rings);
  for (std::size_t i = 0; i < t.links.size(); ++i) {
    if (t.links[i].kind != LinkKind::nic) continue;
    CHECK(load.at(t.name_of(LinkId(i))) == Approx(1.0 / 8));
    ++nics;
  }
  CHECK(nics == 64);
}

TEST_CASE("groups across nodes: one GPU each, and uneven ones") {
  const Topology t = load("4x8xH100");
  const std::vector<DeviceId> same_place = {DeviceId(3), DeviceId(11), DeviceId(19), DeviceId(27)};
  REQUIRE(t.rings(same_place).size() == 1);
  CHECK(t.rings(same_place)[0].order == same_place);
  const std::vector<DeviceId> uneven = {DeviceId(0), DeviceId(1), DeviceId(8)};
  CHECK(t.rings(uneven).size() == 1);
  CHECK(!t.is_switched(same_place));
  const std::vector<DeviceId> alone = {DeviceId(5)};
  CHECK(t.rings(alone)[0].order == alone);
}

TEST_CASE("tours: bounds that theory knows") {
  const auto complete = [](std::size_t parts) {
    std::vector<int> links(parts * parts, 1);
    for (std::size_t i = 0; i < parts; ++i) links[i * parts + i] = 0;
    return disjoint_cycles(parts, links).size();
  };
  // Walecki: a complete graph splits into (n - 1) / 2 tours, rounded down.
  CHECK(complete(3) == 1);
  CHECK(complete(5) == 2);
  CHECK(complete(6) == 2);
  CHECK(complete(8) == 3);
  CHECK(complete(9) == 4);
  CHECK(disjoint_cycles(4, std::vector<int>(16, 0)).empty());
}
