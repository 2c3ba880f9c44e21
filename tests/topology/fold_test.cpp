// Folding: how many classes, and that members of a link class really carry equal loads.
#include <array>
#include <chrono>
#include <iostream>
#include <map>
#include <numeric>

#include "data.hpp"
#include "sim/topology/fold.hpp"

using namespace shardsim;

namespace {

Topology joined(const std::string& text, const std::string& fabric) {
  TopologyOptions options;
  options.fabric = fabric;
  return load(text, options);
}

std::vector<std::uint64_t> same_role(const Topology& t) { return std::vector<std::uint64_t>(t.devices.size(), 0); }

/// The rings over all devices.
RingLoads world_loads(const Topology& t) {
  std::vector<std::size_t> places(t.devices_a_host());
  std::iota(places.begin(), places.end(), std::size_t{0});
  return t.ring_loads(places, true);
}

/// What rings put on each link, hop by hop.
std::vector<double> loads_of(const Topology& t, const std::vector<Ring>& rings) {
  std::vector<double> loads(t.links.size(), 0);
  for (const Ring& ring : rings) {
    for (std::size_t i = 0; i < ring.order.size(); ++i) {
      for (const LinkUse& use : t.device_to_device(ring.order[i], ring.order[(i + 1) % ring.order.size()]))
        loads[use.link.index()] += use.share * ring.weight;
    }
  }
  return loads;
}

Fold fold_all(const Topology& t) { return fold_devices(t, same_role(t), std::array{world_loads(t)}); }

/// Loads of each link when all members of one class run a unit along their routes.
void check_equal_loads(const Topology& t, const Fold& fold) {
  using Route = std::vector<LinkUse> (Topology::*)(DeviceId) const;
  for (const Route route : {&Topology::host_to_device, &Topology::device_to_host, &Topology::host_memory}) {
    for (const std::vector<DeviceId>& members : fold.devices) {
      std::vector<double> loads(t.links.size(), 0);
      for (DeviceId member : members) {
        for (const LinkUse& use : (t.*route)(member)) loads[use.link.index()] += use.share;
      }
      for (std::size_t link = 0; link < loads.size(); ++link) {
        CHECK(loads[link] == Approx(loads[fold.links[fold.class_of(LinkId(link)).index()].first.index()]));
      }
    }
  }
}

void check_partition(const Topology& t, const Fold& fold) {
  std::size_t devices = 0, links = 0, hosts = 0;
  for (std::size_t c = 0; c < fold.devices.size(); ++c) {
    devices += fold.devices[c].size();
    for (DeviceId id : fold.devices[c]) CHECK(fold.class_of_device[id.index()] == DeviceClassId(c));
    CHECK(std::is_sorted(fold.devices[c].begin(), fold.devices[c].end()));
  }
  for (std::size_t c = 0; c < fold.links.size(); ++c) {
    const std::vector<LinkId> members = fold.members(LinkClassId(c));
    REQUIRE(members.size() == fold.links[c].count);
    CHECK(members.front() == fold.links[c].first);
    links += members.size();
  }
  for (const auto& members : fold.hosts) hosts += members.size();
  CHECK(devices == t.devices.size());
  CHECK(links == t.links.size());
  CHECK(hosts == t.hosts.size());
}

}  // namespace

TEST_CASE("classes of machines whose symmetry is plain") {
  const auto classes = [](const std::string& text) { return fold_all(load(text)).devices.size(); };
  CHECK(classes("4xA100") == 1);
  CHECK(classes("8xA100") == 1);
  CHECK(classes("3xA100") == 2);  // two share a switch, one has its own
  CHECK(classes("8xH100") == 1);
  CHECK(classes("5xH100") == 2);  // four share a socket's DRAM, one has the other's
  CHECK(classes("dgx-1v") == 1);
  CHECK(classes("dgx-2") == 1);
  CHECK(classes("rtx-4090-8x") == 1);
  CHECK(classes("2xrtx-4090-8x") == 2);  // the NIC hangs on one of the sockets
  CHECK(classes("2x8xH100") == 1);
}

TEST_CASE("drives on one socket part the sockets only where they are used") {
  const Topology t = load("rtx-4090-8x");
  CHECK(fold_devices(t, same_role(t)).devices.size() == 1);
  CHECK(fold_devices(t, same_role(t), {}, true).devices.size() == 2);
}

TEST_CASE("roles split classes") {
  const Topology t = load("8xH100");
  std::vector<std::uint64_t> role = same_role(t);
  role[3] = 7;
  const Fold fold = fold_devices(t, role);
  REQUIRE(fold.devices.size() == 3);  // the odd one, those that share its DRAM, those of the other socket
  check_partition(t, fold);
  check_equal_loads(t, fold);
}

TEST_CASE("equal loads within link classes, on every system, whole and in part, alone and twice") {
  for (const std::string& name : system_names(topologies())) {
    for (const std::string& text : {name, "2x" + name}) {
      INFO(text);
      const Topology t = load(text);
      const Fold fold = fold_all(t);
      check_partition(t, fold);
      check_equal_loads(t, fold);
    }
  }
  for (const char* text : {"3xA100", "5xA100", "7xH100", "6xV100", "13xV100", "3x3xA100", "5xRTX-4090"}) {
    INFO(text);
    const Topology t = load(text);
    check_equal_loads(t, fold_all(t));
  }
}

TEST_CASE("rings load the links of a class equally") {
  const auto check = [](const Topology& t) {
    const std::vector<double> exact = loads_of(t, t.rings(everyone(t)));
    for (const Fold& fold : {fold_all(t), unfolded(t)}) {
      std::map<std::size_t, double> folded;
      for (const ClassUse& use : ring_uses(fold, world_loads(t))) folded[use.link.index()] = use.share;
      for (std::size_t i = 0; i < t.links.size(); ++i) {
        INFO(t.name_of(LinkId(i)));
        CHECK(folded[fold.class_of(LinkId(i)).index()] == Approx(exact[i]));
      }
    }
  };
  for (const char* text : {"dgx-1v", "a100-pcie-8x", "rtx-4090-8x", "2xp4d.24xlarge", "3x8xA100", "6xV100"}) {
    INFO(text);
    check(load(text));
  }
  for (const char* fabric : {"rail", "fat-tree:2", "fat-tree:2:2", "fat-tree:3:8", "ethernet:25G"}) {
    INFO(fabric);
    check(joined("5x8xA100", fabric));
  }
}

TEST_CASE("the rings of the same places of all nodes, and of each node") {
  const Topology t = joined("4x8xH100", "fat-tree:2:2");
  const std::size_t third = 3;
  const std::vector<DeviceId> members = {DeviceId(3), DeviceId(11), DeviceId(19), DeviceId(27)};
  const std::vector<double> exact = loads_of(t, t.rings(members));
  const RingLoads loads = t.ring_loads({&third, 1}, true);
  const std::size_t links = loads.node.size();
  for (std::size_t i = 0; i < exact.size(); ++i) {
    INFO(t.name_of(LinkId(i)));
    CHECK(exact[i] == Approx(i < 4 * links ? loads.node[i % links] : loads.leaf));
  }
  std::vector<std::size_t> places(8);
  std::iota(places.begin(), places.end(), std::size_t{0});
  const RingLoads within = t.ring_loads(places, false);
  CHECK(within.leaf == 0);
  std::vector<DeviceId> first_node = everyone(t);
  first_node.resize(8);
  const std::vector<double> first = loads_of(t, t.rings(first_node));
  for (std::size_t i = 0; i < links; ++i) CHECK(within.node[i] == Approx(first[i]));
}

TEST_CASE("uses of a class: an uplink carries both GPUs below it, the DRAM all four") {
  const Topology t = load("8xA100");
  const Fold fold = fold_all(t);
  const auto uses = class_uses(fold, DeviceClassId(0), [&](DeviceId id) { return t.host_to_device(id); });
  std::map<std::string, double> by_link;
  for (const ClassUse& use : uses) by_link[t.name_of(fold.links[use.link.index()].first)] = use.share;
  CHECK(by_link == std::map<std::string, double>{{"dram0", 4}, {"numa0>sw0", 2}, {"sw0>gpu0", 1}});
}

TEST_CASE("unfolded: all by themselves") {
  const Topology t = load("2xdgx-a100");
  const Fold fold = unfolded(t);
  CHECK(fold.devices.size() == 16);
  CHECK(fold.links.size() == t.links.size());
  CHECK(fold.hosts.size() == 2);
  check_partition(t, fold);
}

TEST_CASE("16384 GPUs fold to one class, quickly") {
  const Topology t = load("2048x8xH100");
  const auto start = std::chrono::steady_clock::now();
  const RingLoads loads = world_loads(t);
  const Fold fold = fold_devices(t, same_role(t), std::array{loads});
  const auto uses = ring_uses(fold, loads);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::cout << "rings, fold and uses of 16384 GPUs: " << seconds * 1e3 << " ms\n";
  CHECK(fold.devices.size() == 1);
  CHECK(fold.hosts.size() == 1);
  CHECK(fold.links.size() < 30);
  for (const ClassUse& use : uses) {
    const Link& link = t.links[fold.links[use.link.index()].first.index()];
    if (link.kind == LinkKind::nic) CHECK(use.share == Approx(1.0 / 8));
  }
  CHECK(seconds < 10);
}
