// Laws that hold for every plan, tried on random ones.
#include <algorithm>
#include <random>

#include "catch.hpp"
#include "sim/engine/engine.hpp"
#include "tests/engine/plan_writer.hpp"

using namespace shardsim;

namespace {

/// Programs with transfers of their own and collectives that all reach in the same order; no task waits for a later
/// one, so every plan can finish.
Plan random_plan(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const auto moment = [&] { return below(4) == 0 ? Time{} : Time(static_cast<std::int64_t>(below(50'000'000))); };
  PlanWriter w;
  const std::size_t links = 1 + below(6), programs = 1 + below(4);
  for (std::size_t l = 0; l < links; ++l) w.link(1e9 * static_cast<double>(1 + below(50)));
  const auto route = [&] {
    std::vector<TransferUse> uses;
    const std::size_t first = below(links), count = 1 + below(std::min<std::size_t>(links, 3));
    for (std::size_t i = 0; i < count; ++i) {
      uses.push_back({static_cast<std::uint32_t>((first + i) % links), 1.0 + static_cast<double>(below(3))});
    }
    return uses;
  };
  const auto amount = [&] { return below(8) == 0 ? 0.0 : static_cast<double>(below(4'000'000)); };
  Transfer all;
  all.participants = static_cast<std::uint16_t>(programs);
  all.latency = moment();
  std::vector<TransferId> collectives;
  for (std::size_t i = 0; i < 8; ++i) collectives.push_back(w.transfer(amount(), route(), all));

  for (std::size_t p = 0; p < programs; ++p) {
    w.program(4);
    std::vector<TaskId> tasks;
    std::size_t reached = 0;
    const auto some_waits = [&] {
      std::vector<TaskId> waits;
      for (std::size_t i = below(3); i > 0 && !tasks.empty(); --i) waits.push_back(tasks[below(tasks.size())]);
      return waits;
    };
    for (int turn = 0; turn < 60; ++turn) {
      switch (below(6)) {
        case 0:
        case 1:
          tasks.push_back(w.compute(p, below(3), moment(), some_waits(), moment()));
          break;
        case 2:
        case 3: {
          Transfer own;
          own.latency = moment();
          own.weight = 1 + static_cast<double>(below(3));
          if (below(4) == 0) own.limit = 1e9;
          tasks.push_back(w.move(p, below(3), w.transfer(amount(), route(), own), some_waits(), moment()));
          break;
        }
        case 4:
          if (reached < collectives.size()) tasks.push_back(w.move(p, 3, collectives[reached++], some_waits()));
          break;
        case 5:
          if (!tasks.empty()) w.synchronize(p, tasks[below(tasks.size())]);
          break;
      }
    }
    while (reached < collectives.size()) w.move(p, 3, collectives[reached++]);
  }
  return w.plan;
}

/// A transfer's time when it has its links to itself.
Time alone(const Plan& plan, const Transfer& transfer) {
  double rate = transfer.limit > 0 ? transfer.limit : 1e300;
  for (std::uint32_t i = transfer.uses_begin; i < transfer.uses_end; ++i) {
    rate = std::min(rate, plan.links[plan.uses[i].link].capacity / plan.uses[i].share);
  }
  return transfer.latency + Time::from_seconds(transfer.bytes / rate * (1 - 1e-12));
}

}  // namespace

TEST_CASE("tasks keep the order of their streams, their waits and their durations") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const Plan plan = random_plan(seed);
    const Outcome outcome = run(plan);
    REQUIRE(outcome.deadlock.empty());
    for (std::size_t p = 0; p < plan.programs.size(); ++p) {
      const Program& program = plan.programs[p];
      const std::vector<Span>& spans = outcome.programs[p].spans;
      std::vector<Time> stream_end(program.streams.size());
      for (std::size_t t = 0; t < program.tasks.size(); ++t) {  // the writer launches them in the order of their ids
        const Task& task = program.tasks[t];
        REQUIRE(spans[t].start >= stream_end[task.stream.index()]);
        for (std::uint32_t i = task.waits_begin; i < task.waits_end; ++i) {
          REQUIRE(spans[t].start >= spans[program.waits[i].index()].end);
        }
        const Time took = spans[t].end - spans[t].start;
        if (task.transfer.valid()) {
          REQUIRE(took >= alone(plan, plan.transfers[task.transfer.index()]));
        } else {
          REQUIRE(took == task.duration);
        }
        stream_end[task.stream.index()] = spans[t].end;
      }
    }
  }
}

TEST_CASE("links carry exactly what was sent over them, never faster than they can") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const Plan plan = random_plan(seed);
    const Outcome outcome = run(plan);
    std::vector<double> sent(plan.links.size());
    for (const Transfer& transfer : plan.transfers) {
      for (std::uint32_t i = transfer.uses_begin; i < transfer.uses_end; ++i) {
        sent[plan.uses[i].link] += transfer.bytes * plan.uses[i].share;
      }
    }
    for (std::size_t l = 0; l < sent.size(); ++l) {
      REQUIRE(outcome.links[l].bytes == Approx(sent[l]).epsilon(1e-12));
      REQUIRE(sent[l] <= plan.links[l].capacity * outcome.links[l].busy.seconds() * (1 + 1e-9));
      REQUIRE(outcome.links[l].busy <= outcome.step_time);
    }
  }
}

TEST_CASE("the step is not longer than all its work one after the other") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const Plan plan = random_plan(seed);
    Time sum;
    for (const Program& program : plan.programs) {
      for (const Task& task : program.tasks) sum += task.issue + task.duration;
    }
    for (const Transfer& transfer : plan.transfers) sum += alone(plan, transfer) + Time(2);
    // At every instant a host thread or a kernel runs, a latency passes, a link is full, or all flows run as if alone.
    Time link_work;
    for (std::size_t l = 0; l < plan.links.size(); ++l) {
      double bytes = 0;
      for (const Transfer& transfer : plan.transfers) {
        for (std::uint32_t i = transfer.uses_begin; i < transfer.uses_end; ++i) {
          if (plan.uses[i].link == l) bytes += transfer.bytes * plan.uses[i].share;
        }
      }
      link_work += Time::from_seconds(bytes / plan.links[l].capacity);
    }
    REQUIRE(run(plan).step_time <= sum + link_work);
  }
}

TEST_CASE("the order of programs changes nothing") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const Plan plan = random_plan(seed);
    Plan turned = plan;
    std::reverse(turned.programs.begin(), turned.programs.end());
    const Outcome a = run(plan), b = run(turned);
    REQUIRE(a.step_time == b.step_time);
    REQUIRE(a.events == b.events);
    for (std::size_t p = 0; p < a.programs.size(); ++p) {
      const std::vector<Span>& here = a.programs[p].spans;
      const std::vector<Span>& there = b.programs[a.programs.size() - 1 - p].spans;
      for (std::size_t t = 0; t < here.size(); ++t) {
        REQUIRE(here[t].start == there[t].start);
        REQUIRE(here[t].end == there[t].end);
      }
    }
  }
}

TEST_CASE("the same plan twice: the same outcome, bit for bit") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Plan plan = random_plan(seed);
    const Outcome a = run(plan), b = run(plan);
    REQUIRE(a.step_time == b.step_time);
    for (std::size_t l = 0; l < a.links.size(); ++l) {
      REQUIRE(a.links[l].bytes == b.links[l].bytes);
      REQUIRE(a.links[l].busy == b.links[l].busy);
    }
  }
}

TEST_CASE("capacities and bytes times a power of two: the same times, bit for bit") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const Plan plan = random_plan(seed);
    Plan scaled = plan;
    for (PlanLink& link : scaled.links) link.capacity *= 8;
    for (Transfer& transfer : scaled.transfers) {
      transfer.bytes *= 8;
      transfer.limit *= 8;
    }
    REQUIRE(run(plan).step_time == run(scaled).step_time);
  }
}
