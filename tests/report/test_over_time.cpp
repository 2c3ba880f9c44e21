// What the traces and the page draw over time, for plans small enough to follow by hand.
#include "catch.hpp"
#include "engine/plan_writer.hpp"
#include "sim/engine/engine.hpp"
#include "sim/report/critical_path.hpp"
#include "sim/report/link_rates.hpp"
#include "sim/report/memory_series.hpp"

using namespace shardsim;

namespace {

std::vector<std::tuple<int, std::int64_t, std::int64_t>> path_of(const Plan& plan, Time end) {
  const Outcome outcome = run(plan);
  std::vector<std::tuple<int, std::int64_t, std::int64_t>> pieces;
  for (const CriticalPiece& piece : critical_path(plan.programs[0], outcome.programs[0], Time{}, end)) {
    const int task = piece.task.valid() ? static_cast<int>(piece.task.index()) : -1;
    pieces.emplace_back(task, piece.begin.picoseconds() / 1'000'000, piece.end.picoseconds() / 1'000'000);
  }
  return pieces;
}

using Pieces = std::vector<std::tuple<int, std::int64_t, std::int64_t>>;

}  // namespace

TEST_CASE("the critical path follows what ended last") {
  PlanWriter writer;
  const std::size_t program = writer.program(2);
  const TaskId kernel = writer.compute(program, 0, microseconds(10));
  const TaskId copy = writer.compute(program, 1, microseconds(20));
  writer.compute(program, 0, microseconds(5), {kernel, copy});
  CHECK(path_of(writer.plan, microseconds(25)) == Pieces{{1, 0, 20}, {2, 20, 25}});
}

TEST_CASE("the critical path passes through the host thread where a launch came last") {
  PlanWriter writer;
  const std::size_t program = writer.program(1);
  const TaskId first = writer.compute(program, 0, microseconds(10));
  writer.synchronize(program, first);
  writer.compute(program, 0, microseconds(3), {}, microseconds(7));
  CHECK(path_of(writer.plan, microseconds(20)) == Pieces{{0, 0, 10}, {-1, 10, 17}, {1, 17, 20}});
}

TEST_CASE("the critical path is cut at the window's begin") {
  PlanWriter writer;
  const std::size_t program = writer.program(1);
  writer.compute(program, 0, microseconds(10));
  writer.compute(program, 0, microseconds(10));
  const Outcome outcome = run(writer.plan);
  const auto path = critical_path(writer.plan.programs[0], outcome.programs[0], microseconds(4), microseconds(20));
  REQUIRE(path.size() == 2);
  CHECK(path[0].begin == microseconds(4));
}

TEST_CASE("a link's rate is its capacity while transfers share it, and its integral their bytes") {
  PlanWriter writer;
  const std::size_t program = writer.program(2);
  const std::uint32_t link = writer.link(1e9);
  writer.move(program, 0, writer.transfer(2000, {{link, 1}}));  // 1 us alone, then half of the link
  const TaskId wait = writer.compute(program, 1, microseconds(1));
  writer.move(program, 1, writer.transfer(1000, {{link, 1}}), {wait});
  const std::vector<std::vector<RateSample>> rates = link_rates(writer.plan, run(writer.plan));
  REQUIRE(rates.size() == 1);
  double bytes = 0;
  for (std::size_t s = 0; s + 1 < rates[0].size(); ++s) {
    CHECK(rates[0][s].rate == Approx(1e9));
    bytes += rates[0][s].rate * (rates[0][s + 1].instant - rates[0][s].instant).seconds();
  }
  CHECK(bytes == Approx(3000));
  CHECK(rates[0].back().rate == 0);
  CHECK(rates[0].back().instant == microseconds(3));
}

TEST_CASE("memory over time peaks where the engine says") {
  PlanWriter writer;
  const std::size_t program = writer.program(1);
  const TensorId weights = writer.allocate(program, Pool::device, 30 * MiB, Category::weights);
  const TensorId activations = writer.allocate(program, Pool::device, 12 * MiB);
  writer.allocate(program, Pool::pageable, 7 * MiB, Category::optimizer);
  writer.release(program, activations);
  writer.allocate(program, Pool::device, 5 * MiB, Category::gradients);
  writer.release(program, weights);
  const Outcome outcome = run(writer.plan);
  std::int64_t most = 0, held = 0;
  for (const MemoryLevel& level : device_levels(writer.plan.programs[0], outcome.programs[0])) {
    most = std::max(most, level.total());
    held = std::max(held, level.reserved);
  }
  CHECK(most == 42 * MiB);
  CHECK(most == outcome.programs[0].device.allocated);
  CHECK(held == outcome.programs[0].device.reserved);
  const std::vector<MemoryLevel> host = host_levels(writer.plan, outcome, 0);
  REQUIRE(host.size() == 1);
  CHECK(host[0].total() == outcome.hosts[0].peak);
}
