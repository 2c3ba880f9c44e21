// Host threads, streams, waits, transfers, steps and deadlocks.
#include <algorithm>

#include "catch.hpp"
#include "model/core/check.hpp"
#include "model/core/error.hpp"
#include "sim/engine/engine.hpp"
#include "tests/engine/plan_writer.hpp"

using namespace shardsim;

namespace {

Span span_of(const Outcome& outcome, TaskId task, std::size_t program = 0) {
  return outcome.programs[program].spans[task.index()];
}

std::string waiting(const Outcome& outcome) {
  std::string all;
  for (const Deadlock& deadlock : outcome.deadlock) {
    for (const std::string& line : deadlock.waiting) all += line + "\n";
  }
  return all;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("an empty plan takes no time") {
  const Outcome outcome = run(Plan{});
  CHECK(outcome.step_time == Time{});
  CHECK(outcome.deadlock.empty());
}

TEST_CASE("tasks of one stream run one after the other; of two, side by side") {
  PlanWriter w;
  const std::size_t p = w.program(2);
  const TaskId a = w.compute(p, 0, microseconds(10)), b = w.compute(p, 0, microseconds(5)),
               c = w.compute(p, 1, microseconds(7));
  const Outcome outcome = run(w.plan);
  CHECK(span_of(outcome, a).end == microseconds(10));
  CHECK(span_of(outcome, b).start == microseconds(10));
  CHECK(span_of(outcome, c).start == Time{});
  CHECK(outcome.step_time == microseconds(15));
}

TEST_CASE("the host thread's issue time delays small kernels: launch-bound") {
  PlanWriter w;
  const std::size_t p = w.program();
  for (int i = 0; i < 10; ++i) w.compute(p, 0, microseconds(1), {}, microseconds(5));
  CHECK(run(w.plan).step_time == microseconds(51));
}

TEST_CASE("the host runs ahead of the device, and catches up where it synchronizes") {
  PlanWriter w;
  const std::size_t p = w.program();
  const TaskId a = w.compute(p, 0, microseconds(100), {}, microseconds(1));
  const TaskId b = w.compute(p, 0, microseconds(10), {}, microseconds(1));
  w.synchronize(p, a);
  const TaskId c = w.compute(p, 0, microseconds(1), {}, microseconds(20));
  w.synchronize(p, b);  // done long since
  const TaskId d = w.compute(p, 0, microseconds(1), {}, microseconds(2));
  const Outcome outcome = run(w.plan);
  CHECK(span_of(outcome, a).start == microseconds(1));
  CHECK(span_of(outcome, b).start == microseconds(101));
  CHECK(span_of(outcome, c).start == microseconds(121));
  CHECK(span_of(outcome, d).start == microseconds(123));
}

TEST_CASE("a task waits for tasks of other streams, also for one that is launched later") {
  PlanWriter w;
  const std::size_t p = w.program(2);
  const TaskId first = w.compute(p, 0, microseconds(1), {TaskId(1)});
  w.compute(p, 1, microseconds(10), {}, microseconds(3));
  CHECK(span_of(run(w.plan), first).start == microseconds(13));
}

TEST_CASE("a collective starts when all have arrived, and all leave together") {
  PlanWriter w;
  const std::uint32_t link = w.link(10e9);
  Transfer all;
  all.participants = 2;
  all.latency = microseconds(2);
  const TransferId transfer = w.transfer(1e6, {{link, 1}}, all);  // 100 us
  for (const Time work : {microseconds(5), microseconds(50)}) {
    const std::size_t p = w.program();
    w.compute(p, 0, work);
    w.move(p, 0, transfer);
    w.compute(p, 0, microseconds(1));
  }
  const Outcome outcome = run(w.plan);
  CHECK(span_of(outcome, TaskId(1), 0).start == microseconds(5));
  CHECK(span_of(outcome, TaskId(1), 0).end == microseconds(152));
  CHECK(span_of(outcome, TaskId(1), 1).end == microseconds(152));
  CHECK(outcome.step_time == microseconds(153));
  CHECK(outcome.links[link].busy == microseconds(100));
}

TEST_CASE("a transfer's fixed part passes before its bytes flow, without taking the link") {
  PlanWriter w;
  const std::size_t p = w.program(2);
  const std::uint32_t link = w.link(10e9);
  const TaskId slow = w.move(p, 0, w.transfer(1e6, {{link, 1}}));
  w.plan.programs[p].tasks[slow.index()].duration = microseconds(100);
  const TaskId quick = w.move(p, 1, w.transfer(1e6, {{link, 1}}));
  const Outcome outcome = run(w.plan);
  CHECK(span_of(outcome, quick).end == microseconds(100));
  CHECK(span_of(outcome, slow).end == microseconds(200));
}

TEST_CASE("a task of any kind without a transfer takes its duration") {
  PlanWriter w;
  const std::size_t p = w.program();
  const TaskId task = w.compute(p, 0, microseconds(9));
  w.plan.programs[p].tasks[task.index()].kind = TaskKind::cpu;
  CHECK(run(w.plan).step_time == microseconds(9));
}

TEST_CASE("a transfer over no link is bound by its own limit, or takes no time") {
  PlanWriter w;
  const std::size_t p = w.program(2);
  Transfer limited;
  limited.limit = 1e9;
  const TaskId slow = w.move(p, 0, w.transfer(1e6, {}, limited)), free = w.move(p, 1, w.transfer(1e6, {}));
  const Outcome outcome = run(w.plan);
  CHECK(span_of(outcome, slow).end == microseconds(1000));
  CHECK(span_of(outcome, free).end == Time{});
}

TEST_CASE("completions are rounded up to the picosecond, and a whole picosecond stays what it is") {
  const auto end = [](double bytes, double capacity) {
    PlanWriter w;
    const std::size_t p = w.program();
    const std::uint32_t link = w.link(capacity);
    const TaskId task = w.move(p, 0, w.transfer(bytes, {{link, 1}}));
    return span_of(run(w.plan), task).end;
  };
  CHECK(end(1, 3e12) == Time(1));
  CHECK(end(7, 7e9) == Time(1000));  // 7 / 7e9 * 1e12 is a little more than 1000 in doubles
}

TEST_CASE("the last step's window and what its links carried") {
  PlanWriter w;
  const std::size_t p = w.program();
  const std::uint32_t link = w.link(1e9), other = w.link(1e9);
  for (std::uint16_t step = 0; step < 3; ++step) {
    w.step(p, step);
    w.compute(p, 0, microseconds(step == 2 ? 20 : 100));
    w.move(p, 0, w.transfer(step == 2 ? 5000 : 9000, {{link, 2}}));
  }
  const Outcome outcome = run(w.plan);
  CHECK(outcome.programs[p].step_end == std::vector<Time>{microseconds(118), microseconds(236), microseconds(266)});
  CHECK(outcome.step_begin == microseconds(236));
  CHECK(outcome.step_time == microseconds(30));
  CHECK(outcome.links[link].bytes == Approx(10000).epsilon(1e-12));
  CHECK(outcome.links[link].busy == microseconds(10));
  CHECK(outcome.links[other].bytes == 0);
}

TEST_CASE("a step without tasks ends with the one before") {
  PlanWriter w;
  const std::size_t p = w.program();
  w.step(p, 0);
  w.compute(p, 0, microseconds(4));
  w.step(p, 1);
  const Outcome outcome = run(w.plan);
  CHECK(outcome.programs[p].step_end == std::vector<Time>{microseconds(4), microseconds(4)});
  CHECK(outcome.step_time == Time{});
}

TEST_CASE("a transfer across the window's edge counts with its part inside") {
  PlanWriter w;
  const std::size_t p = w.program(2);
  const std::uint32_t link = w.link(1e9);
  w.step(p, 0);
  w.compute(p, 0, microseconds(40));
  w.step(p, 1);
  w.move(p, 1, w.transfer(100'000, {{link, 1}}));  // 100 us, 60 of them after step 0
  const Outcome outcome = run(w.plan);
  CHECK(outcome.step_time == microseconds(60));
  CHECK(outcome.links[link].bytes == Approx(60'000).epsilon(1e-12));
  CHECK(outcome.links[link].busy == microseconds(60));
}

TEST_CASE("the slowest program is the one whose last step ends last") {
  PlanWriter w;
  for (const int us : {10, 30, 20}) w.compute(w.program(), 0, microseconds(us));
  const Outcome outcome = run(w.plan);
  CHECK(outcome.slowest == 1);
  CHECK(outcome.step_time == microseconds(30));
}

TEST_CASE("allocations happen at the host's instant, not at the device's") {
  PlanWriter w;
  const std::size_t p = w.program();
  const TaskId long_kernel = w.compute(p, 0, microseconds(100), {}, microseconds(1));
  w.allocate(p, Pool::device, 1 * MiB);
  CHECK(run(w.plan).programs[p].device.instant == microseconds(1));
  w.synchronize(p, long_kernel);
  w.allocate(p, Pool::device, 1 * MiB);
  CHECK(run(w.plan).programs[p].device.instant == microseconds(101));
}

TEST_CASE("deadlock: a collective that one rank never reaches") {
  PlanWriter w;
  w.plan.labels.push_back("all-gather");
  Transfer all;
  all.participants = 2;
  const TransferId transfer = w.transfer(1, {}, all);
  const std::size_t p = w.program(), q = w.program();
  const TaskId stuck = w.move(p, 0, transfer);
  w.plan.programs[p].tasks[0].label = LabelId(0);
  w.plan.programs[p].tasks[0].layer = 7;
  w.synchronize(p, stuck);
  w.allocate(p, Pool::device, 1 * MiB);
  w.compute(q, 0, microseconds(3));
  const Outcome outcome = run(w.plan);
  REQUIRE(outcome.deadlock.size() == 1);
  CHECK(contains(waiting(outcome),
                 "program 0: task 0 'all-gather' of layer 7 on stream 'stream0' waits for partners: "
                 "1 of 2 have arrived"));
  CHECK(contains(waiting(outcome), "program 0: the host thread waits for task 0 'all-gather'"));
  CHECK(span_of(outcome, stuck).end == never);
  CHECK(outcome.programs[p].device.allocated == 0);
  CHECK(outcome.programs[q].spans[0].end == microseconds(3));
}

TEST_CASE("deadlock: collectives reached in different orders") {
  PlanWriter w;
  Transfer all;
  all.participants = 2;
  const TransferId a = w.transfer(1, {}, all), b = w.transfer(1, {}, all);
  const std::size_t p = w.program(), q = w.program();
  w.move(p, 0, a);
  w.move(p, 0, b);
  w.move(q, 0, b);
  w.move(q, 0, a);
  const Outcome outcome = run(w.plan);
  REQUIRE(outcome.deadlock.size() == 1);
  CHECK(outcome.deadlock[0].waiting.size() == 2);
}

TEST_CASE("deadlock: tasks that wait for one another, and a host that waits for what it has yet to launch") {
  PlanWriter w;
  const std::size_t p = w.program(2);
  w.compute(p, 0, microseconds(1), {TaskId(1)});
  w.compute(p, 1, microseconds(1), {TaskId(0)});
  CHECK(contains(waiting(run(w.plan)), "task 0 on stream 'stream0' waits for task 1 on stream 'stream1'"));

  PlanWriter v;
  const std::size_t q = v.program();
  v.synchronize(q, TaskId(0));
  v.compute(q, 0, microseconds(1));
  CHECK(contains(waiting(run(v.plan)), "the host thread waits for task 0"));
}

TEST_CASE("deadlock: bytes for a link that carries nothing") {
  PlanWriter w;
  const std::size_t p = w.program();
  const std::uint32_t link = w.link(0);
  w.move(p, 0, w.transfer(1, {{link, 1}}));
  CHECK(contains(waiting(run(w.plan)), "waits for link 'link0', which carries nothing"));
}

TEST_CASE("plans that break the rules are refused, not run") {
  PlanWriter w;
  const std::size_t p = w.program();
  const std::uint32_t link = w.link(1e9);
  w.move(p, 0, w.transfer(1, {{link, 1}}));
  w.release(p, w.allocate(p, Pool::device, 1));
  w.step(p, 0);
  CHECK_NOTHROW(run(w.plan));
  const auto refused = [&](auto&& spoil) {
    Plan plan = w.plan;
    spoil(plan);
    CHECK_THROWS_AS(run(plan), InternalError);
  };
  refused([](Plan& plan) { plan.steps = 0; });
  refused([](Plan& plan) { plan.uses[0].link = 9; });
  refused([](Plan& plan) { plan.uses[0].share = 0; });
  refused([](Plan& plan) { plan.links[0].capacity = -1; });
  refused([](Plan& plan) { plan.transfers[0].bytes = -1; });
  refused([](Plan& plan) { plan.transfers[0].bytes = std::numeric_limits<double>::quiet_NaN(); });
  refused([](Plan& plan) { plan.transfers[0].weight = 0; });
  refused([](Plan& plan) { plan.transfers[0].uses_end = 9; });
  refused([](Plan& plan) { plan.transfers[0].participants = 0; });
  refused([](Plan& plan) { plan.transfers[0].latency = Time(-1); });
  refused([](Plan& plan) { plan.programs[0].tasks[0].stream = StreamId(5); });
  refused([](Plan& plan) { plan.programs[0].tasks[0].transfer = TransferId(5); });
  refused([](Plan& plan) { plan.programs[0].tasks[0].duration = Time(-1); });
  refused([](Plan& plan) { plan.programs[0].tasks[0].waits_end = 1; });
  refused([](Plan& plan) { plan.programs[0].tasks[0].step = 1; });
  refused([](Plan& plan) { plan.programs[0].tasks[0].label = LabelId(0); });
  refused([](Plan& plan) { plan.programs[0].waits.push_back(TaskId(5)); });
  refused([](Plan& plan) { plan.programs[0].tensors[0].bytes = -1; });
  refused([](Plan& plan) { plan.programs[0].tensors[0].stream = {}; });
  refused([](Plan& plan) { plan.programs[0].marks[0].step = 1; });
  refused([](Plan& plan) { plan.programs[0].host_class = 1; });
  refused([](Plan& plan) { plan.programs[0].instructions.erase(plan.programs[0].instructions.begin()); });
  refused([](Plan& plan) { plan.programs[0].instructions.push_back({Instruction::Kind::launch, 0}); });
  refused([](Plan& plan) { plan.programs[0].instructions.push_back({Instruction::Kind::release, 0}); });
  refused([](Plan& plan) { plan.programs[0].instructions.push_back({Instruction::Kind::synchronize, 1}); });
  refused([](Plan& plan) { plan.programs[0].instructions.push_back({Instruction::Kind::mark, 1}); });
  refused([](Plan& plan) { plan.programs.push_back(plan.programs[0]); });  // two arrive where one takes part
}

TEST_CASE("what leaves 64 bits is the request's fault") {
  PlanWriter w;
  const std::size_t p = w.program();
  for (int i = 0; i < 3; ++i) w.compute(p, 0, Time(std::int64_t{1} << 62));
  CHECK_THROWS_AS(run(w.plan), InputError);

  PlanWriter v;
  const std::size_t q = v.program();
  for (int i = 0; i < 3; ++i) v.allocate(q, Pool::pageable, std::int64_t{1} << 62);
  CHECK_THROWS_AS(run(v.plan), InputError);
}
