// The engine against results that can be written down.
#include <algorithm>
#include <cmath>
#include <random>

#include "catch.hpp"
#include "sim/engine/engine.hpp"
#include "tests/engine/plan_writer.hpp"
#include "tests/theory/zero3_workload.hpp"

using namespace shardsim;

namespace {

double end_s(const Outcome& outcome, TaskId task, std::size_t program = 0) {
  return outcome.programs[program].spans[task.index()].end.seconds();
}

/// Equal but for a few ticks of a picosecond: each completion is rounded up to the tick.
bool near(double seconds, double expected, int ticks = 4) { return std::abs(seconds - expected) <= ticks * 1e-12; }

/// A ring over n ranks, `rounds` hops of S/n bytes each: one program, a stream a rank, hop k of a rank waits for what
/// its neighbour sent in hop k-1.
double ring_time(std::size_t n, double bytes, double bandwidth, Time latency, std::size_t rounds) {
  PlanWriter w;
  const std::size_t p = w.program(n);
  std::vector<std::uint32_t> out, in;
  for (std::size_t r = 0; r < n; ++r) out.push_back(w.link(bandwidth));
  for (std::size_t r = 0; r < n; ++r) in.push_back(w.link(bandwidth));
  Transfer settings;
  settings.latency = latency;
  std::vector<TaskId> hop(n);
  for (std::size_t k = 0; k < rounds; ++k) {
    std::vector<TaskId> next(n);
    for (std::size_t r = 0; r < n; ++r) {
      std::vector<TaskId> waits;
      if (k > 0) waits.push_back(hop[(r + n - 1) % n]);
      const double piece = bytes / static_cast<double>(n);
      next[r] = w.move(p, r, w.transfer(piece, {{out[r], 1}, {in[(r + 1) % n], 1}}, settings), waits);
    }
    hop = next;
  }
  return run(w.plan).step_time.seconds();
}

}  // namespace

TEST_CASE("disjoint components: the time is the longer of the two") {
  const auto build = [](bool first, bool second) {
    PlanWriter w;
    const std::size_t p = w.program(4);
    const std::uint32_t a = w.link(3e9), b = w.link(7e9);
    if (first) w.move(p, 0, w.transfer(1e9, {{a, 1}}));
    if (first) w.move(p, 1, w.transfer(2e9, {{a, 1}}));
    if (second) w.move(p, 2, w.transfer(3e9, {{b, 1}}));
    if (second) w.move(p, 3, w.transfer(1e9, {{b, 1}}));
    return run(w.plan).step_time;
  };
  CHECK(build(true, true) == std::max(build(true, false), build(false, true)));
}

TEST_CASE("link bytes and busy time: what was sent over it, and bytes over capacity") {
  PlanWriter w;
  const std::size_t p = w.program(3);
  const std::uint32_t link = w.link(5e9);
  w.move(p, 0, w.transfer(1e9, {{link, 1}}));
  w.move(p, 1, w.transfer(2e9, {{link, 2}}));
  w.move(p, 2, w.transfer(3e9, {{link, 0.5}}));
  const Outcome outcome = run(w.plan);
  CHECK(outcome.links[link].bytes == Approx(6.5e9).epsilon(1e-12));
  CHECK(near(outcome.links[link].busy.seconds(), 6.5e9 / 5e9));
  CHECK(near(outcome.step_time.seconds(), 6.5e9 / 5e9));
}

TEST_CASE("processor sharing on one link: end_k = (s1 + .. + sk + (n - k) sk) / C") {
  std::mt19937_64 random(11);
  for (int round = 0; round < 50; ++round) {
    const std::size_t n = 1 + random() % 12;
    std::vector<double> sizes(n);
    for (double& size : sizes) size = static_cast<double>(1 + random() % 1'000'000'000);
    std::sort(sizes.begin(), sizes.end());
    PlanWriter w;
    const std::size_t p = w.program(n);
    const std::uint32_t link = w.link(25e9);
    std::vector<TaskId> tasks;
    for (std::size_t k = 0; k < n; ++k) tasks.push_back(w.move(p, k, w.transfer(sizes[k], {{link, 1}})));
    const Outcome outcome = run(w.plan);
    double sum = 0;
    for (std::size_t k = 0; k < n; ++k) {
      sum += sizes[k];
      const double expected = (sum + static_cast<double>(n - 1 - k) * sizes[k]) / 25e9;
      REQUIRE(near(end_s(outcome, tasks[k]), expected, 2 * static_cast<int>(n)));
    }
  }
}

TEST_CASE("ring collectives") {
  const double all_reduce = ring_time(8, 1073741824.0, 450e9, {}, 14);
  const double reduce_scatter = ring_time(8, 1073741824.0, 450e9, {}, 7);
  CHECK(near(all_reduce, 2 * 7 * 1073741824.0 / (8 * 450e9), 14));
  CHECK(std::round(all_reduce * 1e12) == Approx(4'175'662'649).margin(14));
  CHECK(std::round(reduce_scatter * 1e12) == Approx(2'087'831'324).margin(7));
  CHECK(near(ring_time(8, 1073741824.0, 450e9, Time(1'500'000), 14), all_reduce + 14 * 1.5e-6));
  CHECK(ring_time(1, 1e9, 450e9, {}, 0) == 0);
}

TEST_CASE("chain of p hops, k chunks: (p + k - 1)(latency + S / (k B))") {
  for (const std::size_t hops : {1u, 2u, 5u}) {
    for (const std::size_t chunks : {1u, 3u, 8u}) {
      PlanWriter w;
      const std::size_t p = w.program(hops);
      std::vector<std::uint32_t> links;
      for (std::size_t h = 0; h < hops; ++h) links.push_back(w.link(50e9));
      Transfer settings;
      settings.latency = microseconds(3);
      for (std::size_t c = 0; c < chunks; ++c) {
        TaskId before;
        for (std::size_t h = 0; h < hops; ++h) {
          const TransferId piece = w.transfer(4e8 / static_cast<double>(chunks), {{links[h], 1}}, settings);
          before = w.move(p, h, piece, before.valid() ? std::vector<TaskId>{before} : std::vector<TaskId>{});
        }
      }
      const double each = 3e-6 + 4e8 / (static_cast<double>(chunks) * 50e9);
      CHECK(near(run(w.plan).step_time.seconds(), static_cast<double>(hops + chunks - 1) * each, 16));
    }
  }
}

TEST_CASE("crossbar all-to-all (n-1) S / (n B), and incast n S / B") {
  constexpr std::size_t n = 6;
  const double bytes = 3e8, port = 450e9;
  PlanWriter all, cast;
  for (PlanWriter* w : {&all, &cast}) {
    w->program(n * n);
    for (std::size_t i = 0; i < 2 * n; ++i) w->link(port);  // out ports, then in ports
  }
  for (std::uint32_t from = 0; from < n; ++from) {
    for (std::uint32_t to = 0; to < n; ++to) {
      const std::vector<TransferUse> route{{from, 1}, {static_cast<std::uint32_t>(n) + to, 1}};
      if (from != to) all.move(0, from * n + to, all.transfer(bytes / n, route));
      if (to == 0) cast.move(0, from * n, cast.transfer(bytes, route));
    }
  }
  CHECK(near(run(all.plan).step_time.seconds(), (n - 1) * bytes / (n * port)));
  CHECK(near(run(cast.plan).step_time.seconds(), n * bytes / port));
}

TEST_CASE("four shards to the host through switches of two and one root end together at 25 GB/s") {
  PlanWriter w;
  const double shard = 50331648;
  const std::uint32_t root = w.link(100e9);
  const std::vector<std::uint32_t> switches{w.link(64e9), w.link(64e9)};
  for (std::size_t g = 0; g < 4; ++g) {
    const std::uint32_t own = w.link(64e9);
    w.move(w.program(), 0, w.transfer(shard, {{own, 1}, {switches[g / 2], 1}, {root, 1}}));
  }
  const Outcome outcome = run(w.plan);
  for (const ProgramOutcome& program : outcome.programs) CHECK(program.spans[0].end == Time(2'013'265'920));
}

TEST_CASE("ZeRO-3 step: folded, with rendezvous and per hop agree with the closed form") {
  const Zero3Workload z3;
  CHECK(z3.closed_form() == Approx(1.6354179617).margin(5e-11));
  const Outcome folded = run(z3.folded()), rendezvous = run(z3.rendezvous()), per_hop = run(z3.per_hop());
  CHECK(folded.programs[0].spans.size() == 192);
  CHECK(per_hop.programs[0].spans.size() == 6144);
  CHECK(folded.step_time == rendezvous.step_time);
  // Each exposed transfer, and the last copy, is rounded up to the tick of a picosecond.
  const double exact = z3.closed_form() - 1e-15;
  CHECK(folded.step_time.seconds() >= exact);
  CHECK(near(folded.step_time.seconds(), exact, 32 * 2 + 1));
  CHECK(per_hop.step_time.seconds() >= exact);
  CHECK(near(per_hop.step_time.seconds(), exact, 32 * 14 + 1));
  // Over a PCIe root go the shards of four GPUs, a layer each.
  const double copied = 4 * 32 * z3.shard;
  for (const Outcome* outcome : {&folded, &rendezvous, &per_hop}) {
    CHECK(outcome->links.back().bytes == Approx(copied).epsilon(1e-12));
  }
}

TEST_CASE("pipeline: (m + p - 1)(f + b), bubble (p - 1) / (m + p - 1)") {
  const Time forward = microseconds(700), backward = microseconds(1400);
  for (const std::size_t stages : {1u, 2u, 4u}) {
    for (const std::size_t batches : {1u, 4u, 9u}) {
      PlanWriter w;
      for (std::size_t s = 0; s < stages; ++s) w.program(3);  // compute, from the stage before, from the stage after
      Transfer pair;
      pair.participants = 2;
      std::vector<TransferId> down, up;
      for (std::size_t i = 0; i < batches * stages; ++i) down.push_back(w.transfer(0, {}, pair));
      for (std::size_t i = 0; i < batches * stages; ++i) up.push_back(w.transfer(0, {}, pair));
      // Stage s hands batch b on through down[b * stages + s] and gets its gradient back through up[b * stages + s].
      for (std::size_t s = 0; s < stages; ++s) {
        for (const bool is_forward : {true, false}) {
          for (std::size_t b = 0; b < batches; ++b) {
            const bool takes = is_forward ? s > 0 : s + 1 < stages, gives = is_forward ? s + 1 < stages : s > 0;
            std::vector<TaskId> waits;
            if (takes)
              waits = {w.move(s, is_forward ? 1 : 2, is_forward ? down[b * stages + s - 1] : up[b * stages + s])};
            const TaskId work = w.compute(s, 0, is_forward ? forward : backward, waits);
            if (gives)
              w.move(s, is_forward ? 2 : 1, is_forward ? down[b * stages + s] : up[b * stages + s - 1], {work});
          }
        }
      }
      const Outcome outcome = run(w.plan);
      REQUIRE(outcome.deadlock.empty());
      const std::int64_t slots = static_cast<std::int64_t>(batches + stages - 1);
      CHECK(outcome.step_time == (forward + backward) * slots);
      const double idle =
          1 - static_cast<double>(batches) * (forward + backward).seconds() / outcome.step_time.seconds();
      CHECK(idle == Approx(static_cast<double>(stages - 1) / static_cast<double>(slots)).margin(1e-12));
    }
  }
}

TEST_CASE("more bandwidth can hurt: fluid sharing is not monotone") {
  const auto ends = [](double capacity_a) {
    PlanWriter w;
    const std::size_t p = w.program(3);
    const std::uint32_t a = w.link(capacity_a), b = w.link(3), c = w.link(2);
    w.move(p, 0, w.transfer(2, {{b, 1}, {c, 1}}));
    w.move(p, 1, w.transfer(1, {{a, 1}, {b, 1}}));
    w.move(p, 2, w.transfer(1, {{a, 1}}));
    const Outcome outcome = run(w.plan);
    return std::vector<double>{end_s(outcome, TaskId(0)), end_s(outcome, TaskId(1)), end_s(outcome, TaskId(2))};
  };
  const std::vector<double> before = ends(2), after = ends(5);
  for (const double end : before) CHECK(near(end, 1));
  CHECK(near(after[0], 7. / 6));
  CHECK(near(after[1], 2. / 3));
  CHECK(near(after[2], 2. / 7));
}

TEST_CASE("an empty transfer or task put on an edge changes nothing") {
  const auto time = [](int extra) {
    PlanWriter w;
    const std::size_t p = w.program(4);
    const std::uint32_t link = w.link(10e9);
    TaskId last = w.move(p, 0, w.transfer(1e9, {{link, 1}}));
    w.move(p, 2, w.transfer(7e8, {{link, 1}}));
    if (extra == 1) last = w.move(p, 3, w.transfer(0, {{link, 1}}), {last});
    if (extra == 2) last = w.compute(p, 3, Time{}, {last});
    if (extra == 3) last = w.move(p, 3, w.transfer(0, {}), {last});
    last = w.compute(p, 1, microseconds(5), {last});
    w.move(p, 0, w.transfer(1e9, {{link, 1}}), {last});
    return run(w.plan).step_time;
  };
  for (const int extra : {1, 2, 3}) CHECK(time(extra) == time(0));
}
