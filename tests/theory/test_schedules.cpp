// Laws of static schedules (fixed durations, fixed order on every stream) and of sharing, tried on random ones.
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "catch.hpp"
#include "sim/engine/engine.hpp"
#include "tests/engine/plan_writer.hpp"
#include "tests/theory/zero3_workload.hpp"

using namespace shardsim;

namespace {

bool near(double seconds, double expected, int ticks = 4) { return std::abs(seconds - expected) <= ticks * 1e-12; }

/// Tasks of known durations on streams, each after some earlier ones: all that a static schedule is.
struct Schedule {
  struct Item {
    std::size_t stream = 0;
    std::int64_t duration = 0;
    std::vector<std::size_t> after;
  };
  std::size_t streams = 1;
  std::vector<Item> items;

  Plan plan(Time head_start = {}) const {
    PlanWriter w;
    const std::size_t p = w.program(streams + 1);
    const TaskId first = w.compute(p, streams, head_start);
    std::vector<TaskId> tasks;
    for (const Item& item : items) {
      std::vector<TaskId> waits{first};
      for (const std::size_t earlier : item.after) waits.push_back(tasks[earlier]);
      tasks.push_back(w.compute(p, item.stream, Time(item.duration), waits));
    }
    return w.plan;
  }
  Time time() const { return run(plan()).step_time; }

  /// All edges, those of the streams' order included: from an item to what waits for it.
  std::vector<std::vector<std::size_t>> successors() const {
    std::vector<std::vector<std::size_t>> all(items.size());
    std::vector<std::size_t> last(streams, items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      for (const std::size_t earlier : items[i].after) all[earlier].push_back(i);
      std::size_t& before = last[items[i].stream];
      if (before < items.size()) all[before].push_back(i);
      before = i;
    }
    return all;
  }
};

rc::Gen<Schedule> schedules() {
  return rc::gen::map(rc::gen::arbitrary<std::uint64_t>(), [](std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Schedule schedule;
    schedule.streams = 1 + random() % 4;
    for (std::size_t i = 0, n = 1 + random() % 40; i < n; ++i) {
      Schedule::Item item{random() % schedule.streams, static_cast<std::int64_t>(random() % 1000), {}};
      for (std::size_t k = random() % 3; k > 0 && i > 0; --k) item.after.push_back(random() % i);
      schedule.items.push_back(item);
    }
    return schedule;
  });
}

/// Flows that begin together on one link.
std::vector<double> some_sizes(std::mt19937_64& random) {
  std::vector<double> sizes(1 + random() % 10);
  for (double& size : sizes) size = static_cast<double>(1 + random() % 1'000'000);
  return sizes;
}

}  // namespace

TEST_CASE("a longer task or one more edge never shortens a static schedule, nor lengthens it by more than that") {
  CHECK(rc::check("longer task", [] {
    Schedule schedule = *schedules();
    const Time before = schedule.time();
    const auto i = *rc::gen::inRange<std::size_t>(0, schedule.items.size());
    const auto more = *rc::gen::inRange<std::int64_t>(0, 2000);
    schedule.items[i].duration += more;
    const Time after = schedule.time();
    RC_ASSERT(after >= before);
    RC_ASSERT(after <= before + Time(more));
  }));
  CHECK(rc::check("one more edge", [] {
    Schedule schedule = *schedules();
    const Time before = schedule.time();
    const auto i = *rc::gen::inRange<std::size_t>(0, schedule.items.size());
    if (i > 0) schedule.items[i].after.push_back(*rc::gen::inRange<std::size_t>(0, i));
    RC_ASSERT(schedule.time() >= before);
  }));
}

TEST_CASE("a later begin of everything is a later end by as much") {
  CHECK(rc::check([] {
    const Schedule schedule = *schedules();
    const Time later(*rc::gen::inRange<std::int64_t>(0, 1'000'000));
    RC_ASSERT(run(schedule.plan(later)).step_time == schedule.time() + later);
  }));
}

TEST_CASE("a task with slack s that takes x longer lengthens the schedule by max(0, x - s)") {
  CHECK(rc::check([] {
    Schedule schedule = *schedules();
    const Outcome outcome = run(schedule.plan());
    const std::vector<std::vector<std::size_t>> successors = schedule.successors();
    std::vector<Time> latest_end(schedule.items.size(), outcome.step_time);
    for (std::size_t i = schedule.items.size(); i-- > 0;) {
      for (const std::size_t next : successors[i]) {
        latest_end[i] = std::min(latest_end[i], latest_end[next] - Time(schedule.items[next].duration));
      }
    }
    const auto i = *rc::gen::inRange<std::size_t>(0, schedule.items.size());
    const Time slack = latest_end[i] - outcome.programs[0].spans[i + 1].end;  // the first task is the head start
    const Time longer(*rc::gen::inRange<std::int64_t>(0, 2000));
    schedule.items[i].duration += longer.picoseconds();
    RC_ASSERT(schedule.time() == outcome.step_time + std::max(Time{}, longer - slack));
  }));
}

TEST_CASE("a schedule that runs backwards takes as long") {
  CHECK(rc::check([] {
    const Schedule schedule = *schedules();
    const std::size_t n = schedule.items.size();
    Schedule reversed;
    reversed.streams = schedule.streams;
    reversed.items.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      reversed.items[n - 1 - i].stream = schedule.items[i].stream;
      reversed.items[n - 1 - i].duration = schedule.items[i].duration;
      for (const std::size_t earlier : schedule.items[i].after) {
        reversed.items[n - 1 - earlier].after.push_back(n - 1 - i);
      }
    }
    RC_ASSERT(reversed.time() == schedule.time());
  }));
}

TEST_CASE("bounds: the longest path, the busiest stream and all work one after the other") {
  CHECK(rc::check([] {
    const Schedule schedule = *schedules();
    const std::vector<std::vector<std::size_t>> successors = schedule.successors();
    std::vector<std::int64_t> path(schedule.items.size()), stream(schedule.streams);
    std::int64_t longest = 0, all = 0;
    for (std::size_t i = schedule.items.size(); i-- > 0;) {
      for (const std::size_t next : successors[i]) path[i] = std::max(path[i], path[next]);
      path[i] += schedule.items[i].duration;
      longest = std::max(longest, path[i]);
      stream[schedule.items[i].stream] += schedule.items[i].duration;
      all += schedule.items[i].duration;
    }
    const Time took = schedule.time();
    RC_ASSERT(took == Time(longest));
    RC_ASSERT(took >= Time(*std::max_element(stream.begin(), stream.end())));
    RC_ASSERT(took <= Time(all));
  }));
}

TEST_CASE("Little's law: the flows under way, over time, are their sojourns") {
  std::mt19937_64 random(5);
  for (int round = 0; round < 50; ++round) {
    PlanWriter w;
    const std::vector<double> sizes = some_sizes(random);
    const std::size_t p = w.program(sizes.size());
    const std::uint32_t link = w.link(1e9);
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      w.move(p, i, w.transfer(sizes[i], {{link, 1}}), {}, Time(static_cast<std::int64_t>(random() % 100'000'000)));
    }
    const Outcome outcome = run(w.plan);
    std::vector<std::pair<Time, int>> edges;
    Time sojourns;
    for (const FlowSpan& flow : outcome.flows) {
      sojourns += flow.end - flow.begin;
      edges.emplace_back(flow.begin, 1);
      edges.emplace_back(flow.end, -1);
    }
    std::sort(edges.begin(), edges.end());
    Time area, since;
    std::int64_t under_way = 0;
    for (const auto& [instant, change] : edges) {
      area += (instant - since) * under_way;
      under_way += change;
      since = instant;
    }
    REQUIRE(under_way == 0);
    REQUIRE(area == sojourns);
  }
}

TEST_CASE("a link is busy for its bytes over its capacity, and free at the same time, however it is shared") {
  std::mt19937_64 random(6);
  for (int round = 0; round < 50; ++round) {
    const std::vector<double> sizes = some_sizes(random);
    double sum = 0;
    for (const double size : sizes) sum += size;
    for (const bool weighted : {false, true}) {
      PlanWriter w;
      const std::size_t p = w.program(sizes.size());
      const std::uint32_t link = w.link(3e9);
      for (std::size_t i = 0; i < sizes.size(); ++i) {
        Transfer settings;
        if (weighted) settings.weight = static_cast<double>(1 + random() % 5);
        w.move(p, i, w.transfer(sizes[i], {{link, 1}}, settings));
      }
      const Outcome outcome = run(w.plan);
      const int ticks = 2 * static_cast<int>(sizes.size());
      REQUIRE(near(outcome.step_time.seconds(), sum / 3e9, ticks));
      REQUIRE(near(outcome.links[link].busy.seconds(), sum / 3e9, ticks));
    }
  }
}

TEST_CASE(
    "recursive doubling takes log2(n) (latency + S / B), halving and doubling 2 log2(n) latency + 2 (n-1)/n S / B") {
  const double bytes = 1e9, port = 50e9;
  Transfer settings;
  settings.latency = microseconds(2);
  for (const std::size_t n : {2u, 4u, 8u, 16u}) {
    const auto exchange = [&](PlanWriter& w, std::vector<TaskId>& last, std::size_t distance, double piece) {
      std::vector<TaskId> next(n);
      for (std::size_t r = 0; r < n; ++r) {
        const std::size_t partner = r ^ distance;
        std::vector<TaskId> waits;
        if (last[r].valid()) waits = {last[r], last[partner]};
        next[r] =
            w.move(0, r,
                   w.transfer(piece, {{static_cast<std::uint32_t>(r), 1}, {static_cast<std::uint32_t>(n + partner), 1}},
                              settings),
                   waits);
      }
      last = next;
    };
    const auto begin = [&](PlanWriter& w) {
      w.program(n);
      for (std::size_t i = 0; i < 2 * n; ++i) w.link(port);
      return std::vector<TaskId>(n);
    };
    const double rounds = std::log2(static_cast<double>(n)), ranks = static_cast<double>(n);
    PlanWriter doubling;
    std::vector<TaskId> last = begin(doubling);
    for (std::size_t distance = 1; distance < n; distance *= 2) exchange(doubling, last, distance, bytes);
    CHECK(near(run(doubling.plan).step_time.seconds(), rounds * (2e-6 + bytes / port), 16));

    PlanWriter halving;
    last = begin(halving);
    double piece = bytes / 2;
    for (std::size_t distance = n / 2; distance > 0; distance /= 2, piece /= 2)
      exchange(halving, last, distance, piece);
    for (std::size_t distance = 1; distance < n; distance *= 2) exchange(halving, last, distance, piece *= 2);
    CHECK(near(run(halving.plan).step_time.seconds(), 2 * rounds * 2e-6 + 2 * (ranks - 1) / ranks * bytes / port, 16));
  }
}

TEST_CASE("LogGP: a message of k bytes takes o + L + (k - 1) G + o, and m small ones 2 o + L + (m - 1) max(g, o)") {
  const Time overhead = microseconds(3), latency = microseconds(5);
  const double gap_per_byte = 1e-9;  // seconds
  for (const std::int64_t bytes : {1, 1000, 1'000'000}) {
    PlanWriter w;
    const std::size_t sender = w.program(2);
    Transfer settings;
    settings.latency = latency;
    const std::uint32_t link = w.link(1 / gap_per_byte);
    const TransferId message = w.transfer(static_cast<double>(bytes - 1), {{link, 1}}, settings);
    const TaskId sent = w.move(sender, 0, message, {}, overhead);
    w.compute(sender, 1, overhead, {sent});
    const double expected = 2 * 3e-6 + 5e-6 + static_cast<double>(bytes - 1) * gap_per_byte;
    CHECK(near(run(w.plan).step_time.seconds(), expected));
  }
  for (const Time gap : {microseconds(1), microseconds(7)}) {  // less and more than the overhead
    constexpr std::int64_t messages = 9;
    TaskId received;
    // A stream a message on the wire, where latencies overlap; the interface takes the next a gap later.
    PlanWriter wires;
    const std::size_t q = wires.program(2 + messages);
    TaskId free;
    for (std::int64_t m = 0; m < messages; ++m) {
      Transfer settings;
      settings.latency = latency;
      const TaskId ready = wires.compute(q, 0, Time{}, {}, overhead);
      std::vector<TaskId> waits{ready};
      if (free.valid()) waits.push_back(free);
      const TaskId arrived = wires.move(q, 2 + static_cast<std::size_t>(m), wires.transfer(0, {}, settings), waits);
      free = wires.compute(q, 0, gap, {ready});
      received = wires.compute(q, 1, overhead, {arrived});
    }
    const Time end = run(wires.plan).programs[q].spans[received.index()].end;
    CHECK(end == overhead * 2 + latency + std::max(gap, overhead) * (messages - 1));
  }
}

TEST_CASE("an interleaved pipeline: m (f + b) + (p - 1) (f + b) / v") {
  // v chunks a stage, each a v-th of its work; GPipe's order round by round keeps every stage busy once it has begun.
  const Time forward = microseconds(840), backward = microseconds(1680);
  for (const std::size_t stages : {2u, 4u}) {
    for (const std::size_t chunks : {1u, 2u, 3u}) {
      const std::size_t batches = 2 * stages;
      PlanWriter w;
      for (std::size_t s = 0; s < stages; ++s) w.program(2);
      Transfer pair;
      pair.participants = 2;
      const Time part = Time(forward.picoseconds() / static_cast<std::int64_t>(chunks));
      const Time back = Time(backward.picoseconds() / static_cast<std::int64_t>(chunks));
      // Virtual stage k of batch b runs on stage k % stages, in groups of as many batches as there are stages.
      const std::size_t depth = stages * chunks;
      std::vector<std::vector<TransferId>> down(batches), up(batches);
      for (std::size_t b = 0; b < batches; ++b) {
        for (std::size_t k = 0; k + 1 < depth; ++k) {
          down[b].push_back(w.transfer(0, {}, pair));
          up[b].push_back(w.transfer(0, {}, pair));
        }
      }
      // Streams of their own for every meeting, so that none waits for another's turn.
      for (std::size_t s = 0; s < stages; ++s) {
        std::size_t meeting = 1;
        const auto meet = [&](TransferId transfer, const std::vector<TaskId>& waits) {
          Program& program = w.plan.programs[s];
          if (++meeting >= program.streams.size()) program.streams.push_back("meeting");
          return w.move(s, meeting, transfer, waits);
        };
        const auto pass = [&](bool is_forward) {
          for (std::size_t group = 0; group < batches; group += stages) {
            for (std::size_t c = 0; c < chunks; ++c) {
              const std::size_t k = (is_forward ? c : chunks - 1 - c) * stages + s;
              for (std::size_t b = group; b < group + stages; ++b) {
                std::vector<TaskId> waits;
                const bool takes = is_forward ? k > 0 : k + 1 < depth, gives = is_forward ? k + 1 < depth : k > 0;
                if (takes) waits = {meet(is_forward ? down[b][k - 1] : up[b][k], {})};
                const TaskId work = w.compute(s, 0, is_forward ? part : back, waits);
                if (gives) meet(is_forward ? down[b][k] : up[b][k - 1], {work});
              }
            }
          }
        };
        pass(true);
        pass(false);
      }
      const Outcome outcome = run(w.plan);
      REQUIRE(outcome.deadlock.empty());
      CHECK(outcome.step_time == (forward + backward) * static_cast<std::int64_t>(batches) +
                                     (part + back) * static_cast<std::int64_t>(stages - 1));
    }
  }
}

TEST_CASE("one more equal layer always costs the same") {
  Zero3Workload z3;
  std::vector<Time> times;
  for (z3.layers = 4; z3.layers <= 12; ++z3.layers) times.push_back(run(z3.folded()).step_time);
  const Time layer = times[1] - times[0];
  for (std::size_t i = 2; i < times.size(); ++i) CHECK(times[i] - times[i - 1] == layer);
  z3.layers = 64;
  CHECK(run(z3.folded()).step_time == times[0] + layer * 60);
}
