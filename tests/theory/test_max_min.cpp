// The solver against exact rates, the max-min certificate and the laws that follow from the definition.
#include "sim/engine/max_min.hpp"

#include <algorithm>
#include <numeric>
#include <random>

#include "catch.hpp"

using namespace shardsim;

namespace {

struct FlowSpec {
  std::vector<TransferUse> uses;
  double weight = 1;
  double limit = 0;
};

struct Network {
  std::vector<double> capacities;
  std::vector<FlowSpec> flows;
};

FlowSpec over(std::vector<std::uint32_t> links, double weight = 1, double limit = 0) {
  FlowSpec flow{{}, weight, limit};
  for (const std::uint32_t link : links) flow.uses.push_back({link, 1});
  return flow;
}

std::vector<double> rates(const Network& network) {
  MaxMin solver(network.capacities);
  std::vector<MaxMin::Slot> slots;
  for (const FlowSpec& flow : network.flows) slots.push_back(solver.add(flow.uses, flow.weight, flow.limit));
  solver.solve();
  std::vector<double> all;
  for (const MaxMin::Slot slot : slots) all.push_back(solver.rate(slot));
  return all;
}

void check_rates(const Network& network, const std::vector<double>& expected) {
  const std::vector<double> found = rates(network);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    INFO("flow " << i);
    CHECK(found[i] == Approx(expected[i]).epsilon(1e-12));
  }
}

/// Feasible, and each flow is at its own limit or crosses a full link where no flow has a higher rate for its weight:
/// necessary and sufficient for max-min fairness (Bertsekas and Gallager, section 6.5.2).
void check_certificate(const Network& network, const std::vector<double>& rate) {
  std::vector<double> load(network.capacities.size()), highest(network.capacities.size());
  for (std::size_t f = 0; f < rate.size(); ++f) {
    for (const TransferUse& use : network.flows[f].uses) {
      load[use.link] += rate[f] * use.share;
      highest[use.link] = std::max(highest[use.link], rate[f] / network.flows[f].weight);
    }
  }
  for (std::size_t l = 0; l < load.size(); ++l) REQUIRE(load[l] <= network.capacities[l] * (1 + 1e-12));
  for (std::size_t f = 0; f < rate.size(); ++f) {
    const FlowSpec& flow = network.flows[f];
    const bool at_limit = flow.limit > 0 && rate[f] >= flow.limit * (1 - 1e-12);
    const bool held = std::any_of(flow.uses.begin(), flow.uses.end(), [&](const TransferUse& use) {
      return load[use.link] >= network.capacities[use.link] * (1 - 1e-11) &&
             rate[f] / flow.weight >= highest[use.link] * (1 - 1e-11);
    });
    INFO("flow " << f << " of " << rate.size());
    REQUIRE((at_limit || held));
  }
}

Network random_network(std::mt19937_64& random) {
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const auto between = [&](double low, double high) { return std::uniform_real_distribution(low, high)(random); };
  Network network;
  network.capacities.resize(1 + below(12));
  for (double& capacity : network.capacities) capacity = between(1, 450);
  network.flows.resize(1 + below(30));
  std::vector<std::uint32_t> links(network.capacities.size());
  std::iota(links.begin(), links.end(), 0u);
  for (FlowSpec& flow : network.flows) {
    std::shuffle(links.begin(), links.end(), random);
    const std::size_t count = 1 + below(std::min<std::size_t>(links.size(), 4));
    for (std::size_t i = 0; i < count; ++i) flow.uses.push_back({links[i], below(3) == 0 ? between(0.1, 4) : 1.0});
    if (below(3) == 0) flow.weight = between(0.25, 8);
    if (below(4) == 0) flow.limit = between(0.5, 60);
  }
  return network;
}

}  // namespace

TEST_CASE("max-min rates of networks solved by hand") {
  SECTION("1: a long flow and three short ones") {
    check_rates({{1, 1, 1}, {over({0, 1, 2}), over({0}), over({1}), over({2})}}, {.5, .5, .5, .5});
  }
  SECTION("2: unequal capacities") {
    check_rates({{10, 4, 6}, {over({0, 1, 2}), over({0}), over({1}), over({2})}}, {2, 8, 2, 4});
  }
  SECTION("3: two rounds") {
    check_rates({{1, 2}, {over({0}), over({0, 1}), over({1}), over({1})}}, {.5, .5, .75, .75});
  }
  SECTION("4: eight GPUs to two roots") {
    Network n;
    n.capacities.assign(8, 64);
    n.capacities.insert(n.capacities.end(), {64, 64, 64, 64, 100, 100});
    for (std::uint32_t g = 0; g < 8; ++g) n.flows.push_back(over({g, 8 + g / 2, 12 + g / 4}));
    check_rates(n, std::vector<double>(8, 25));
  }
  SECTION("5: switches bind before the root") {
    check_rates({{64, 64, 64, 40, 40, 100}, {over({0, 3, 5}), over({1, 3, 5}), over({2, 4, 5})}}, {20, 20, 40});
  }
  SECTION("6: crossbar") {
    // out ports 0-4, in ports 5-9
    Network n{std::vector<double>(10, 450), {over({0, 8}), over({1, 8}), over({2, 8}), over({0, 9}), over({3, 5})}};
    check_rates(n, {150, 150, 150, 300, 450});
  }
  SECTION("7: limits of their own") {
    check_rates({{100}, {over({0}, 1, 10), over({0}, 1, 30), over({0}), over({0})}}, {10, 30, 30, 30});
  }
  SECTION("8: weights") {
    check_rates({{64, 30}, {over({0}, 1), over({0}, 2), over({0, 1}, 5)}}, {34. / 3, 68. / 3, 30});
  }
  SECTION("9: a class of equal devices takes shared links several times") {
    check_rates({{64, 64, 64, 100}, {{{{0, 1}, {1, 2}, {3, 4}}}, over({2, 3})}}, {20, 20});
  }
  SECTION("10: many rounds") {
    const Network n{{6, 8, 12, 20},
                    {over({0, 1}), over({0, 2}), over({1, 2}), over({2, 3}), over({3}), over({0}), over({1, 3})}};
    check_rates(n, {2, 2, 3, 7, 10, 2, 3});
  }
  SECTION("11: shares above one") {
    check_rates({{90, 25}, {over({0, 1}), {{{0, 2}}}, over({0})}}, {22.5, 22.5, 22.5});
  }
  SECTION("12: two sources, two sinks") {
    check_rates({{50, 50, 50, 50}, {over({0, 2}), over({0, 2}), over({1, 2}), over({0, 3})}},
                {50. / 3, 50. / 3, 50. / 3, 50. / 3});
  }
}

TEST_CASE("flows without links") {
  MaxMin solver({});
  const MaxMin::Slot limited = solver.add({}, 1, 7), free = solver.add({}, 1, 0);
  CHECK(solver.solve().size() == 2);
  CHECK(solver.rate(limited) == 7);
  CHECK(std::isinf(solver.rate(free)));
}

TEST_CASE("a link without capacity stops its flows and no others") {
  check_rates({{0, 10}, {over({0, 1}), over({1}), over({0})}}, {0, 10, 0});
}

TEST_CASE("a flow at its limit has exactly its limit, whatever its weight") {
  const std::vector<double> found = rates({{100}, {over({0}, 49, 1), over({0})}});  // 1 / 49 * 49 is not 1 in doubles
  CHECK(found[0] == 1);
  CHECK(found[1] == 99);
}

TEST_CASE("random networks satisfy the max-min certificate") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    const Network network = random_network(random);
    check_certificate(network, rates(network));
  }
}

TEST_CASE("the order of flows does not change their rates") {
  std::mt19937_64 random(2);
  for (int i = 0; i < 300; ++i) {
    const Network network = random_network(random);
    std::vector<std::size_t> order(network.flows.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    Network shuffled{network.capacities, {}};
    for (const std::size_t f : order) shuffled.flows.push_back(network.flows[f]);
    const std::vector<double> a = rates(network), b = rates(shuffled);
    for (std::size_t f = 0; f < order.size(); ++f) REQUIRE(b[f] == Approx(a[order[f]]).epsilon(1e-12));
  }
}

TEST_CASE("capacities and limits times a power of two: rates times it, bit for bit") {
  std::mt19937_64 random(3);
  for (int i = 0; i < 300; ++i) {
    Network network = random_network(random);
    const std::vector<double> before = rates(network);
    for (double& capacity : network.capacities) capacity *= 1024;
    for (FlowSpec& flow : network.flows) flow.limit *= 1024;
    const std::vector<double> after = rates(network);
    for (std::size_t f = 0; f < before.size(); ++f) REQUIRE(after[f] == before[f] * 1024);
  }
}

TEST_CASE("a flow of weight three is three flows of weight one") {
  std::mt19937_64 random(4);
  for (int i = 0; i < 300; ++i) {
    Network network = random_network(random);
    FlowSpec one = network.flows.front();
    one.weight = 1;
    one.limit = 0;
    Network split = network, whole = network;
    split.flows.insert(split.flows.end(), {one, one, one});
    one.weight = 3;
    whole.flows.push_back(one);
    const std::vector<double> a = rates(split), b = rates(whole);
    const std::size_t n = network.flows.size();
    REQUIRE(a[n] + a[n + 1] + a[n + 2] == Approx(b[n]).epsilon(1e-12));
    for (std::size_t f = 0; f < n; ++f) REQUIRE(a[f] == Approx(b[f]).epsilon(1e-12));
  }
}

TEST_CASE("rates kept up to date are rates solved afresh, and only changes are reported") {
  std::mt19937_64 random(5);
  for (int i = 0; i < 100; ++i) {
    const Network network = random_network(random);
    MaxMin solver(network.capacities);
    struct Live {
      MaxMin::Slot slot;
      const FlowSpec* flow;
      double rate;
    };
    std::vector<Live> live;
    for (int turn = 0; turn < 60; ++turn) {
      if (live.empty() || random() % 2 == 0) {
        const FlowSpec& flow = network.flows[random() % network.flows.size()];
        live.push_back({solver.add(flow.uses, flow.weight, flow.limit), &flow, -1});
      } else {
        const std::size_t leaves = random() % live.size();
        solver.remove(live[leaves].slot);
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(leaves));
      }
      if (random() % 3 == 0) continue;  // several changes at one instant
      const auto span = solver.solve();
      const std::vector<MaxMin::Slot> changed(span.begin(), span.end());
      Network now{network.capacities, {}};
      for (const Live& l : live) now.flows.push_back(*l.flow);
      const std::vector<double> fresh = rates(now);
      for (std::size_t f = 0; f < live.size(); ++f) {
        const double rate = solver.rate(live[f].slot);
        REQUIRE(rate == Approx(fresh[f]).epsilon(1e-12));
        const bool reported = std::find(changed.begin(), changed.end(), live[f].slot) != changed.end();
        REQUIRE(reported == (rate != live[f].rate));
        live[f].rate = rate;
      }
    }
  }
}

TEST_CASE("a component that nothing touches keeps its rates bit for bit") {
  const Network network{{10, 3}, {over({0}), over({0}), over({0}), over({1})}};
  MaxMin solver(network.capacities);
  for (const FlowSpec& flow : network.flows) solver.add(flow.uses, flow.weight, flow.limit);
  solver.solve();
  const double before = solver.rate(0);
  const FlowSpec extra = over({1});
  const MaxMin::Slot slot = solver.add(extra.uses, 1, 0);
  CHECK(solver.solve().size() == 2);
  CHECK(solver.rate(0) == before);
  CHECK(solver.rate(3) == 1.5);
  solver.remove(slot);
  CHECK(solver.solve().size() == 1);
  CHECK(solver.rate(3) == 3);
}
