// The DOT files: all shipped ones load; everything that can be wrong in one is refused with its line.
#include <random>
#include <sstream>

#include "data.hpp"
#include "sim/topology/dot.hpp"
#include "sim/topology/write_dot.hpp"

using namespace shardsim;

namespace {

const std::string host = "  numa0 [kind=numa, cpu=\"EPYC-7742\", dram=\"1 TiB\", memory_bandwidth=\"204.8 GB/s\"];\n";
const std::string gpu = "  gpu0 [kind=gpu, device=\"A100-SXM4-80GB\"];\n";
const std::string wire = "  gpu0 -- numa0 [link=pcie4x16];\n";

Topology read(const std::string& body) {
  const ScratchFile file("box.dot", "graph box {\n" + body + "}\n");
  return load(file.path());
}

std::string complaint(const std::string& body) {
  return refusal([&] { read(body); });
}

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("every shipped system loads, alone and twice") {
  const std::vector<std::string> systems = system_names(topologies());
  REQUIRE(systems.size() >= 14);
  for (const std::string& name : systems) {
    INFO(name);
    const Topology one = load(name);
    const Topology two = load("2x" + name);
    CHECK(one.name == name);
    CHECK(one.assumptions.empty());
    CHECK(one.hosts.size() == 1);
    CHECK(two.devices.size() == 2 * one.devices.size());
    CHECK(two.links.size() == 2 * one.links.size());
    for (const Link& link : one.links) {
      CHECK(link.effective().bytes_per_second > 0);
      CHECK(link.efficiency <= 1);
    }
  }
}

TEST_CASE("a small machine is read in full") {
  const Topology box =
      read("  // a comment with gpu0 [kind=gpu]\n  graph [host_power=\"500 W\", price_per_hour=\"1.25 USD\"];\n" +
           host + gpu + wire +
           "  gpu10 [kind=gpu, device=\"A100-SXM4-40GB\"]; gpu10 -- numa0 [link=pcie4x8];\n"
           "  gpu2 [kind=gpu, device=\"A100-SXM4-40GB\"]; gpu2 -- numa0 [link=pcie4x8];\n"
           "  ssd [kind=drive, device=\"NVMe-Gen4\", count=2]; ssd -- numa0 [link=pcie4x4];\n");
  CHECK(box.host_power_watts == 500);
  CHECK(box.price_per_hour_usd == 1.25);
  REQUIRE(box.devices.size() == 3);
  CHECK(box.devices[0].spec.name == "A100-SXM4-80GB");
  CHECK(box.hosts[0].cores == 64);
  CHECK(box.hosts[0].sockets == 1);
  CHECK(box.hosts[0].memory == Bytes(std::int64_t{1} << 40));
  REQUIRE(box.storages.size() == 1);
  CHECK(box.storages[0].capacity == Bytes(2 * 3'840'000'000'000));
  CHECK(path_of(box, box.storage_to_host(StorageId(0))) == "ssd>numa0 dram0");
  CHECK(path_of(box, box.host_to_storage(StorageId(0))) == "dram0 numa0>ssd");
  CHECK(box.collectives.all_reduce == 1);
  // gpu2 comes before gpu10.
  CHECK(path_of(box, box.host_to_device(DeviceId(1))) == "dram0 numa0>gpu1");
  CHECK(box.links[box.host_to_device(DeviceId(1))[1].link.index()].bandwidth.bytes_per_second == Approx(15.75e9));
}

TEST_CASE("syntax errors are refused with the line") {
  says(complaint(host + "  gpu0 [kind=gpu, device=;\n" + wire), "box.dot:3)");
  says(complaint(host + gpu + "  gpu0 -> numa0 [link=pcie4x16];\n"), "box.dot");
  const ScratchFile directed("d.dot", "digraph g { a -> b; }");
  says(refusal([&] { load(directed.path()); }), "the graph is directed");
  const ScratchFile garbage("g.dot", "\x01\x02{\"");
  says(refusal([&] { load(garbage.path()); }), "malformed DOT");
  const ScratchFile empty("e.dot", "");
  says(refusal([&] { load(empty.path()); }), "malformed DOT");
  says(refusal([] { load("/nonexistent/x.dot"); }),
       "cannot read '/nonexistent/x.dot': No such file or directory (--topology)");
  says(refusal([] { load("/"); }), "cannot read");
}

TEST_CASE("what a machine lacks is refused") {
  says(complaint(""), "the machine has no GPU");
  says(complaint(host), "the machine has no GPU");
  says(complaint(gpu), "the machine has no host memory");
  says(complaint(host + gpu), "box.dot:3: gpu0); expected edges");
  says(complaint(host + gpu + wire +
                 "  numa1 [kind=numa, cpu=\"EPYC-7742\", dram=\"1 TiB\", memory_bandwidth=\"1 GB/s\"];\n"),
       "'numa1' is cut off from 'numa0'");
  says(complaint(host + gpu + wire +
                 "  gpu1 [kind=gpu, device=\"A100-SXM4-80GB\"]; gpu0 -- gpu1 [link=nvbridge3x12];\n"),
       "'gpu1' has no path to host memory");
}

TEST_CASE("what was measured on the machine itself overrides the catalogue, and survives being written") {
  const std::string body =
      "  graph [all_reduce_efficiency=1.3, collective_launch=\"12.5 us\", collective_fill=\"0 us\"];\n" + host + gpu +
      "  gpu0 -- numa0 [link=pcie4x16, efficiency=0.5, latency=\"3 us\"];\n"
      "  nic0 [kind=nic, device=\"HDR200\", efficiency=0.25]; nic0 -- numa0 [link=pcie4x16];\n";
  const ScratchFile file("box.dot", "graph box {\n" + body + "}\n");
  const LinkCatalog links(topologies() / "links.yaml");
  const ScratchFile again("again.dot", write_dot(read_dot(file.path(), links), {}));
  for (const std::string& path : {file.path(), again.path()}) {
    const Topology box = load(path);
    const Link& link = box.links[box.host_to_device(DeviceId(0))[1].link.index()];
    CHECK(link.effective().bytes_per_second == Approx(15.75e9));
    CHECK(link.latency == Time(3'000'000));
    CHECK(box.collectives.all_reduce == 1.3);
    CHECK(box.collectives.all_gather == 1);
    CHECK(box.collectives.launch == Time(12'500'000));
    CHECK(box.collectives.fill == Time(0));
    bool has_nic = false;
    for (const Link& each : box.links) {
      if (each.kind != LinkKind::nic) continue;
      has_nic = true;
      CHECK(each.efficiency == 0.25);
    }
    CHECK(has_nic);
  }
}

TEST_CASE("wrong nodes are refused with their line") {
  says(complaint(host + gpu + gpu + wire), "node 'gpu0' is declared twice");
  says(complaint(host + "  gpu0 [kind=gpu];\n" + wire), "box.dot:3: gpu0); expected device=");
  says(complaint(host + "  gpu0 [device=\"A100-SXM4-80GB\"];\n" + wire), "the attribute 'kind' is missing");
  says(complaint(host + "  gpu0 [kind=gqu, device=\"A100-SXM4-80GB\"];\n" + wire), "unknown kind of node 'gqu'");
  says(complaint(host + "  gpu0 [kind=gpu, device=\"A1000\"];\n" + wire), "unknown device 'A1000'");
  says(complaint(host + "  gpu0 [kind=gpu, device=\"A100-SXM4-80GB\", colour=red];\n" + wire),
       "unknown attribute 'colour'");
  says(complaint(host + gpu), "gpu0");
  says(complaint("  numa0 [kind=numa, cpu=\"EPYC-7742\", memory_bandwidth=\"1 GB/s\"];\n" + gpu + wire),
       "'dram' is missing");
  says(complaint("  numa0 [kind=numa, cpu=\"EPYC-7742\", dram=\"1\", memory_bandwidth=\"1 GB/s\"];\n" + gpu + wire),
       "'1'");
  says(complaint("  numa0 [kind=numa, cpu=\"EPYC-7742\", dram=\"0 GiB\", memory_bandwidth=\"1 GB/s\"];\n" + gpu + wire),
       "the DRAM is empty");
  says(complaint("  numa0 [kind=numa, cpu=\"EPYC-7742\", dram=\"1 TiB\", memory_bandwidth=\"0 GB/s\"];\n" + gpu + wire),
       "the memory bandwidth is zero");
  says(
      complaint("  numa0 [kind=numa, cpu=\"EPYC-7742\", dram=\"1 TiB\", memory_bandwidth=\"-5 GB/s\"];\n" + gpu + wire),
      "is negative");
  says(complaint(host + gpu + wire + "  nic0 [kind=nic, device=\"HDR200\", count=0]; nic0 -- numa0 [link=pcie4x16];\n"),
       "'0' is no usable count");
  says(complaint("  graph [price_per_hour=\"3\"];\n" + host + gpu + wire), "'3' is no usable price_per_hour");
  says(complaint("  graph [all_reduce_efficiency=0];\n" + host + gpu + wire), "'0' is no usable all_reduce_efficiency");
  says(complaint("  graph [collective_fill=\"2 s\"];\n" + host + gpu + wire), "'2 s' is more than a second");
}

TEST_CASE("wrong edges are refused with their line") {
  says(complaint(host + gpu + "  gpu0 -- numa0;\n"), "box.dot:4: gpu0 -- numa0); expected link=");
  says(complaint(host + gpu + "  gpu0 -- numa0 [link=pcie9x16];\n"), "unknown link type 'pcie9'");
  says(complaint(host + gpu + "  gpu0 -- numa0 [link=pcie4x16, efficiency=1.2];\n"), "'1.2' is no usable efficiency");
  says(complaint(host + gpu + "  gpu0 -- numa0 [link=xgmi2x4];\n"),
       "a link of kind interconnect cannot join these two");
  says(complaint(host + gpu + wire + "  gpu0 -- gpu0 [link=nvbridge3x4];\n"), "cannot join these two");
  says(complaint(host + gpu + wire + wire), "'gpu0' hangs on 2 ports");
  says(complaint(host + gpu + wire + "  gpu1 -- numa0 [link=pcie4x16];\n"), "gpu1); expected kind=");
}

TEST_CASE("subgraphs are refused before they can nest") {
  says(complaint(std::string(200'000, '{')), "the file has more than one '{'");
  says(complaint(host + gpu + "  gpu0 -- { numa0 } [link=pcie4x16];\n"), "box.dot:4)");
}

TEST_CASE("damaged files load or are refused, and nothing else escapes") {
  std::mt19937 random(20'26);
  for (const std::string& name : {std::string("dgx-a100"), std::string("a100-pcie-8x"), std::string("gh200")}) {
    std::ifstream file(topologies() / (name + ".dot"));
    std::ostringstream original;
    original << file.rdbuf();
    const std::string text = original.str();
    std::size_t refused = 0;
    for (int i = 0; i < 300; ++i) {
      std::string damaged = text;
      for (int change = 0; change < 1 + i % 4; ++change) {
        const std::size_t at = random() % damaged.size();
        switch (random() % 4) {
          case 0:
            damaged[at] = static_cast<char>(random() % 256);
            break;
          case 1:
            damaged.erase(at, random() % 40);
            break;
          case 2:
            damaged.insert(at, damaged.substr(random() % damaged.size(), random() % 40));
            break;
          default:
            damaged[at] = "[]{}\";=-0x"[random() % 10];
            break;
        }
      }
      const ScratchFile scratch("fuzz.dot", damaged);
      try {
        const Topology topology = load(scratch.path());
        CHECK(!topology.devices.empty());
      } catch (const InputError&) {
        ++refused;
      }
    }
    CHECK(refused > 20);
  }
}
