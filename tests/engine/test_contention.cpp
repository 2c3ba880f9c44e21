// What computes beside a collective takes longer; what does not, does not.
#include "catch.hpp"
#include "sim/engine/engine.hpp"
#include "tests/engine/plan_writer.hpp"

using namespace shardsim;

namespace {

/// 100 us of kernel beside a collective of 50 us and one of 30 us, on streams of their own, then 10 us of kernel alone.
Outcome outcome_with(double slowdown) {
  PlanWriter w;
  const std::uint32_t link = w.link(1e9);
  const std::size_t p = w.program(2);
  w.plan.programs[p].collective_slowdown = slowdown;
  const TaskId compute = w.compute(p, 0, microseconds(100));
  for (const double bytes : {50e3, 30e3}) {
    const TaskId collective = w.move(p, 1, w.transfer(bytes, {{link, 1}}));
    w.plan.programs[p].tasks[collective.index()].kind = TaskKind::collective;
  }
  w.compute(p, 0, microseconds(10), {compute});
  return run(w.plan);
}

}  // namespace

TEST_CASE("a kernel loses its share of the time that it spends beside collectives") {
  CHECK(outcome_with(0).step_time == microseconds(110));
  CHECK(outcome_with(0.25).step_time == microseconds(130));  // 80 us beside collectives, a quarter of them lost
}

TEST_CASE("copies take nothing from kernels") {
  PlanWriter w;
  const std::uint32_t link = w.link(1e9);
  const std::size_t p = w.program(2);
  w.plan.programs[p].collective_slowdown = 0.25;
  w.compute(p, 0, microseconds(100));
  w.move(p, 1, w.transfer(50e3, {{link, 1}}));
  CHECK(run(w.plan).step_time == microseconds(100));
}
