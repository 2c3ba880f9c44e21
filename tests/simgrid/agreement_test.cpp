// The same machines and traffic in SimGrid (model CM02, no cross-traffic, no TCP window): each flow ends when ours
// does. SimGrid's engine lives once a process, so all patterns run in one simulation, each in a zone of its own.
#include <simgrid/s4u.hpp>

#include <cmath>
#include <cstdio>
#include <map>
#include <random>

#include "catch.hpp"
#include "sim/engine/event_loop.hpp"
#include "sim/topology/topology.hpp"
#include "tests/engine/plan_writer.hpp"

using namespace shardsim;
namespace sg = simgrid::s4u;

namespace {

struct Flow {
  double begin = 0;  ///< seconds
  double bytes = 0;
  std::vector<LinkUse> uses;
  double ours = 0, theirs = 0;  ///< when it ends
};

struct Pattern {
  std::string shape;
  const Topology* topology = nullptr;
  std::vector<Flow> flows;
};

/// What the shapes stand for: links shared by two, by four, by all; meshes; staging; nodes joined by NICs.
const std::vector<std::string> shapes = {"dgx-a100",     "dgx-2",      "dgx-1v",        "a100-pcie-8x",   "rtx-4090-8x",
                                         "p4d.24xlarge", "2xdgx-a100", "2xg5.48xlarge", "rtx-pro-6000-6x"};

Topology load(const std::string& name) {
  return load_topology(name, {}, std::filesystem::path(SHARDSIM_SOURCE) / "topologies");
}

std::vector<LinkUse> random_route(const Topology& topology, std::mt19937_64& random) {
  const DeviceId a(random() % topology.devices.size());
  const DeviceId b((a.index() + 1 + random() % (topology.devices.size() - 1)) % topology.devices.size());
  switch (random() % 4) {
    case 0:
      return topology.host_to_device(a);
    case 1:
      return topology.device_to_host(a);
    default:
      return topology.device_to_device(a, b);
  }
}

/// Copies of 1 to 512 MB that begin within 20 ms of one another, so that rates change under way.
Pattern random_pattern(const std::string& shape, const Topology& topology, std::mt19937_64& random) {
  const auto between = [&](double low, double high) { return std::uniform_real_distribution(low, high)(random); };
  Pattern pattern{shape, &topology, {}};
  const std::size_t flows = 2 + random() % 23;
  for (std::size_t i = 0; i < flows; ++i) {
    pattern.flows.push_back({random() % 3 == 0 ? 0.0 : between(0, 0.02), std::floor(between(1e6, 512e6)),
                             random_route(topology, random), 0, 0});
  }
  return pattern;
}

/// What a ZeRO-3 step with offload does at once: each GPU prefetches parameters, offloads gradients, and sends to its
/// neighbour in an all-gather.
Pattern mixed_traffic(const std::string& shape, const Topology& topology) {
  Pattern pattern{shape + ", mixed", &topology, {}};
  const std::size_t gpus = topology.devices.size();
  for (std::size_t g = 0; g < gpus; ++g) {
    const DeviceId here(g), next((g + 1) % gpus);
    pattern.flows.push_back({0, 100e6, topology.host_to_device(here), 0, 0});
    pattern.flows.push_back({0.001, 200e6, topology.device_to_host(here), 0, 0});
    pattern.flows.push_back({0.002, 150e6, topology.device_to_device(here, next), 0, 0});
  }
  return pattern;
}

void play_here(Pattern& pattern) {
  PlanWriter writer;
  for (const Link& link : pattern.topology->links) writer.link(link.effective().bytes_per_second);
  writer.program(pattern.flows.size());
  for (std::size_t i = 0; i < pattern.flows.size(); ++i) {
    std::vector<TransferUse> uses;
    for (const LinkUse& use : pattern.flows[i].uses)
      uses.push_back({static_cast<std::uint32_t>(use.link.index()), use.share});
    Transfer settings;
    settings.latency = Time::from_seconds(pattern.flows[i].begin);
    writer.move(0, i, writer.transfer(pattern.flows[i].bytes, uses, settings));
  }
  const Timeline timeline = play(writer.plan);
  for (std::size_t i = 0; i < pattern.flows.size(); ++i) {
    pattern.flows[i].ours = timeline.programs[0].spans[i].end.seconds();
  }
}

/// The links that the pattern crosses, one route for each flow between hosts of its own.
void describe_there(Pattern& pattern, std::size_t number, sg::NetZone* root) {
  const std::string prefix = "p" + std::to_string(number) + "-";
  sg::NetZone* zone = sg::create_full_zone(prefix + "zone")->set_parent(root);
  std::map<std::size_t, sg::Link*> links;
  for (std::size_t i = 0; i < pattern.flows.size(); ++i) {
    Flow& flow = pattern.flows[i];
    std::vector<sg::LinkInRoute> route;
    for (const LinkUse& use : flow.uses) {
      sg::Link*& link = links[use.link.index()];
      if (link == nullptr) {
        const Link& ours = pattern.topology->links[use.link.index()];
        link = zone->create_link(prefix + std::to_string(use.link.index()), ours.effective().bytes_per_second);
        link->set_latency(0)->seal();
      }
      REQUIRE(use.share == std::round(use.share));
      for (int times = 0; times < static_cast<int>(use.share); ++times) route.emplace_back(link);
    }
    sg::Host* from = zone->create_host(prefix + "from" + std::to_string(i), 1e9)->seal();
    sg::Host* to = zone->create_host(prefix + "to" + std::to_string(i), 1e9)->seal();
    zone->add_route(from->get_netpoint(), to->get_netpoint(), nullptr, nullptr, route, false);
    sg::Actor::create(prefix + std::to_string(i), from, [&flow, from, to] {
      sg::this_actor::sleep_until(flow.begin);
      sg::Comm::sendto(from, to, static_cast<std::uint64_t>(flow.bytes));
      flow.theirs = sg::Engine::get_clock();
    });
  }
  zone->seal();
}

void play_there(std::vector<Pattern>& patterns) {
  std::string program = "agreement";
  std::vector<std::string> settings = {"--cfg=network/model:CM02",     "--cfg=network/TCP-gamma:0",
                                       "--cfg=network/crosstraffic:0", "--cfg=surf/precision:1e-12",
                                       "--cfg=maxmin/precision:1e-12", "--log=root.thres:critical"};
  std::vector<char*> arguments = {program.data()};
  for (std::string& setting : settings) arguments.push_back(setting.data());
  int count = static_cast<int>(arguments.size());
  sg::Engine engine(&count, arguments.data());
  sg::NetZone* root = sg::create_full_zone("root");
  for (std::size_t i = 0; i < patterns.size(); ++i) describe_there(patterns[i], i, root);
  root->seal();
  engine.run();
}

struct Row {
  std::size_t patterns = 0, flows = 0;
  double worst = 0;
};

}  // namespace

TEST_CASE("every flow ends when SimGrid says") {
  constexpr std::size_t patterns_a_shape = 28;
  std::mt19937_64 random(20261121);
  std::map<std::string, Topology> topologies;
  for (const std::string& shape : shapes) topologies.emplace(shape, load(shape));
  std::vector<Pattern> patterns;
  for (const std::string& shape : shapes) {
    for (std::size_t i = 0; i < patterns_a_shape; ++i)
      patterns.push_back(random_pattern(shape, topologies.at(shape), random));
  }
  for (const std::string shape : {"dgx-a100", "rtx-pro-6000-6x", "dgx-2"}) {
    patterns.push_back(mixed_traffic(shape, topologies.at(shape)));
  }
  REQUIRE(patterns.size() >= 200);
  for (Pattern& pattern : patterns) play_here(pattern);
  play_there(patterns);

  std::map<std::string, Row> table;
  for (const Pattern& pattern : patterns) {
    Row& row = table[pattern.shape];
    ++row.patterns;
    for (const Flow& flow : pattern.flows) {
      ++row.flows;
      const double error = std::abs(flow.ours / flow.theirs - 1);
      row.worst = std::max(row.worst, error);
      INFO(pattern.shape << ": begins " << flow.begin << ", " << flow.bytes << " bytes, ends " << flow.ours << " here, "
                         << flow.theirs << " there");
      CHECK(error < 1e-6);
    }
  }
  std::printf("| shape | patterns | flows | largest difference |\n| --- | --- | --- | --- |\n");
  for (const auto& [shape, row] : table)
    std::printf("| %s | %zu | %zu | %.1e |\n", shape.c_str(), row.patterns, row.flows, row.worst);
}
