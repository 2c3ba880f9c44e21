// What the outcome says about memory: peaks, their breakdown, steps, hosts.
#include <numeric>
#include <random>

#include "catch.hpp"
#include "sim/engine/engine.hpp"
#include "tests/engine/plan_writer.hpp"

using namespace shardsim;

namespace {

std::int64_t sum(const std::array<std::int64_t, category_count>& parts) {
  return std::accumulate(parts.begin(), parts.end(), std::int64_t{0});
}

std::int64_t part(const std::array<std::int64_t, category_count>& parts, Category category) {
  return parts[static_cast<std::size_t>(category)];
}

/// Spends host time, so that what follows happens later.
void pass(PlanWriter& w, std::size_t program, Time time) { w.compute(program, 0, Time{}, {}, time); }

}  // namespace

TEST_CASE("the device's peak: size, breakdown, instant, mark and largest tensors") {
  PlanWriter w;
  const std::size_t p = w.program();
  w.step(p, 0);
  const TensorId weights = w.allocate(p, Pool::device, 100 * MiB, Category::weights);
  pass(w, p, microseconds(10));
  const TensorId activation = w.allocate(p, Pool::device, 11 * MiB + 512 * KiB);  // a block of 12 MiB
  w.release(p, activation);
  pass(w, p, microseconds(10));
  w.step(p, 0);
  const TensorId logits = w.allocate(p, Pool::device, 200 * MiB, Category::logits);
  const TensorId small = w.allocate(p, Pool::device, 100, Category::workspace);
  pass(w, p, microseconds(10));
  w.release(p, logits);
  w.release(p, small);

  const ProgramOutcome out = run(w.plan).programs[p];
  CHECK(out.device.allocated == 300 * MiB + 512);
  CHECK(part(out.device.by_category, Category::weights) == 100 * MiB);
  CHECK(part(out.device.by_category, Category::logits) == 200 * MiB);
  CHECK(part(out.device.by_category, Category::workspace) == 512);
  CHECK(sum(out.device.by_category) == out.device.allocated);
  CHECK(out.device.instant == microseconds(20));
  CHECK(out.device.mark == 1);
  CHECK(out.device.largest == std::vector<TensorId>{logits, weights, small});
  CHECK(out.device.reserved == 314 * MiB);
  CHECK(out.final_device_bytes == 100 * MiB);
}

TEST_CASE("a peak reached twice counts where it was first reached") {
  PlanWriter w;
  const std::size_t p = w.program();
  for (int i = 0; i < 2; ++i) {
    pass(w, p, microseconds(5));
    w.release(p, w.allocate(p, Pool::device, 1 * MiB));
  }
  CHECK(run(w.plan).programs[p].device.instant == microseconds(5));
}

TEST_CASE("the rounding and the remainder of a block belong to its tensor's category") {
  PlanWriter w;
  const std::size_t p = w.program();
  w.allocate(p, Pool::device, 11 * MiB + 512 * KiB, Category::gradients);
  w.allocate(p, Pool::device, 1, Category::buffers);
  const PoolPeak peak = run(w.plan).programs[p].device;
  CHECK(part(peak.by_category, Category::gradients) == 12 * MiB);
  CHECK(part(peak.by_category, Category::buffers) == 512);
}

TEST_CASE("each stage has its own peak, from the level at which it begins") {
  PlanWriter w;
  const std::size_t p = w.program();
  w.step(p, 0);
  const TensorId kept = w.allocate(p, Pool::device, 30 * MiB, Category::weights);
  w.release(p, w.allocate(p, Pool::device, 500 * MiB));
  w.step(p, 1);
  w.release(p, w.allocate(p, Pool::device, 50 * MiB));
  w.step(p, 2);
  w.release(p, kept);
  const ProgramOutcome out = run(w.plan).programs[p];
  REQUIRE(out.device_by_stage.size() == 5);
  CHECK(out.device_by_stage[1].allocated == 530 * MiB);
  CHECK(out.device_by_stage[2].allocated == 80 * MiB);
  CHECK(out.device_by_stage[3].allocated == 30 * MiB);
  CHECK(out.device_by_stage[3].reserved == 530 * MiB);
  CHECK(out.device_by_stage[3].largest == std::vector<TensorId>{kept});
  CHECK(out.device.allocated == 530 * MiB);
  CHECK(out.final_device_bytes == 0);
}

TEST_CASE("a device that presses gets cached memory back, and one that is too small from the first allocation on") {
  const auto run_on = [](std::int64_t capacity) {
    PlanWriter w;
    const std::size_t p = w.program();
    w.plan.programs[p].capacity_bytes = capacity;
    w.step(p, 0);
    w.allocate(p, Pool::device, 30 * MiB, Category::weights);
    w.release(p, w.allocate(p, Pool::device, 500 * MiB));
    w.release(p, w.allocate(p, Pool::device, 520 * MiB));
    w.allocate(p, Pool::device, 600 * MiB);
    return run(w.plan).programs[p].device;
  };
  const PoolPeak roomy = run_on(2 * GiB);
  CHECK(roomy.allocated == 630 * MiB);
  CHECK(roomy.reserved == 1650 * MiB);  // what was freed stays cached
  const PoolPeak pressed = run_on(1100 * MiB);
  CHECK(pressed.allocated == 630 * MiB);
  CHECK(pressed.reserved == 1050 * MiB);  // before the 600 MiB
  for (const std::int64_t capacity : {100 * MiB, 629 * MiB}) {
    const PoolPeak too_small = run_on(capacity);
    CHECK(too_small.allocated == 630 * MiB);
    CHECK(too_small.reserved == 630 * MiB);
  }
}

TEST_CASE("an emptied cache gives back what is wholly free") {
  PlanWriter w;
  const std::size_t p = w.program();
  w.step(p, 0);
  w.allocate(p, Pool::device, 30 * MiB, Category::weights);
  w.release(p, w.allocate(p, Pool::device, 500 * MiB));
  w.plan.programs[p].instructions.push_back({Instruction::Kind::empty_cache, 0});
  w.step(p, 1);
  const ProgramOutcome out = run(w.plan).programs[p];
  CHECK(out.device_by_stage[1].reserved == 530 * MiB);
  CHECK(out.device_by_stage[2].reserved == 30 * MiB);
}

TEST_CASE("loading and saving are stages of their own, on device and host") {
  PlanWriter w;
  const std::size_t p = w.program();
  const auto stage = [&](Phase phase) {
    std::vector<Mark>& marks = w.plan.programs[p].marks;
    marks.push_back({phase, 0, -1, {}});
    w.plan.programs[p].instructions.push_back({Instruction::Kind::mark, static_cast<std::uint32_t>(marks.size() - 1)});
  };
  stage(Phase::load);
  w.release(p, w.allocate(p, Pool::pageable, 70 * MiB));
  w.allocate(p, Pool::device, 10 * MiB);
  stage(Phase::forward);
  w.release(p, w.allocate(p, Pool::device, 40 * MiB));
  w.compute(p, 0, microseconds(10));
  stage(Phase::save);
  w.release(p, w.allocate(p, Pool::pageable, 20 * MiB));
  const Outcome outcome = run(w.plan);
  const std::vector<PoolPeak>& device = outcome.programs[p].device_by_stage;
  CHECK(device[0].allocated == 10 * MiB);
  CHECK(device[1].allocated == 50 * MiB);
  CHECK(device[2].allocated == 10 * MiB);
  const std::vector<HostStage>& host = outcome.hosts[0].by_stage;
  CHECK(host[0].peak == 70 * MiB);
  CHECK(host[1].peak == 0);
  CHECK(host[2].peak == 20 * MiB);
}

TEST_CASE("a tensor may come back after it was freed") {
  PlanWriter w;
  const std::size_t p = w.program();
  const TensorId tensor = w.allocate(p, Pool::device, 40 * MiB);
  w.release(p, tensor);
  w.plan.programs[p].instructions.push_back({Instruction::Kind::allocate, 0});
  w.allocate(p, Pool::device, 40 * MiB, Category::gradients);
  const PoolPeak peak = run(w.plan).programs[p].device;
  CHECK(peak.allocated == 80 * MiB);
  CHECK(sum(peak.by_category) == peak.allocated);
}

TEST_CASE("the allocator may not use what lies outside it") {
  const auto reserved = [](std::int64_t outside) {
    PlanWriter w;
    const std::size_t p = w.program();
    w.plan.programs[p].capacity_bytes = 100 * MiB;
    w.plan.programs[p].outside_bytes = outside;
    w.release(p, w.allocate(p, Pool::device, 40 * MiB));
    w.allocate(p, Pool::device, 60 * MiB);
    return run(w.plan).programs[p].device.reserved;
  };
  CHECK(reserved(0) == 100 * MiB);
  CHECK(reserved(1) == 60 * MiB);  // the cached 40 MiB had to go first
}

TEST_CASE("random lives: breakdowns add up, and the end is what is left") {
  std::mt19937_64 random(3);
  for (int round = 0; round < 40; ++round) {
    PlanWriter w;
    const std::size_t p = w.program(3);
    std::vector<TensorId> live;
    for (int i = 0; i < 400; ++i) {
      if (i % 130 == 0) w.step(p, static_cast<std::uint16_t>(i / 130));
      if (live.empty() || random() % 2 == 0) {
        const auto bytes = static_cast<std::int64_t>(random() % (std::uint64_t{1} << (random() % 28)));
        live.push_back(w.allocate(p, static_cast<Pool>(random() % pool_count), bytes,
                                  static_cast<Category>(random() % category_count), random() % 3));
      } else {
        const std::size_t which = random() % live.size();
        w.release(p, live[which]);
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(which));
      }
    }
    for (const TensorId tensor : live) w.release(p, tensor);
    const Outcome outcome = run(w.plan);
    const ProgramOutcome& out = outcome.programs[p];
    REQUIRE(out.final_device_bytes == 0);
    REQUIRE(sum(out.device.by_category) == out.device.allocated);
    REQUIRE(out.device.reserved >= out.device.allocated);
    REQUIRE(out.device.largest.size() <= 20);
    for (const PoolPeak& stage : out.device_by_stage) {
      REQUIRE(sum(stage.by_category) == stage.allocated);
      REQUIRE(stage.allocated <= out.device.allocated);
    }
    REQUIRE(sum(outcome.hosts[0].by_category) == outcome.hosts[0].peak);
    REQUIRE(outcome.hosts[0].pinned_at_peak <= outcome.hosts[0].pinned_peak);
  }
}

TEST_CASE("a host holds pinned blocks in powers of two and pageable memory exactly") {
  PlanWriter w;
  const std::size_t p = w.program();
  w.allocate(p, Pool::pinned, 6 * GiB, Category::gradients);
  w.allocate(p, Pool::pageable, 1'000'003, Category::optimizer);
  w.allocate(p, Pool::storage, 77, Category::optimizer);
  const HostOutcome host = run(w.plan).hosts[0];
  CHECK(host.peak == 8 * GiB + 1'000'003);
  CHECK(host.pinned_at_peak == 8 * GiB);
  CHECK(host.pinned_peak == 8 * GiB);
  CHECK(part(host.by_category, Category::gradients) == 8 * GiB);
  CHECK(part(host.by_category, Category::optimizer) == 1'000'003);
  CHECK(host.storage_peak == 77);
}

TEST_CASE("freed pinned memory stays with the host, pageable memory goes back") {
  PlanWriter w;
  const std::size_t p = w.program();
  w.release(p, w.allocate(p, Pool::pinned, 1 * MiB));
  w.release(p, w.allocate(p, Pool::pageable, 1 * MiB));
  pass(w, p, microseconds(1));
  w.allocate(p, Pool::pageable, 1 * MiB);
  CHECK(run(w.plan).hosts[0].peak == 2 * MiB);
}

TEST_CASE("ranks of a host count when they hold memory at the same time") {
  // Each holds 10 MiB for 10 us; the second starts when the first is done, or halfway.
  const auto peak = [](Time second_begins) {
    PlanWriter w;
    for (const Time begin : {Time{}, second_begins}) {
      const std::size_t p = w.program();
      pass(w, p, begin);
      const TensorId tensor = w.allocate(p, Pool::pageable, 10 * MiB);
      pass(w, p, microseconds(10));
      w.release(p, tensor);
    }
    return run(w.plan).hosts[0].peak;
  };
  CHECK(peak(microseconds(20)) == 10 * MiB);
  CHECK(peak(microseconds(10)) == 10 * MiB);
  CHECK(peak(microseconds(5)) == 20 * MiB);
  CHECK(peak(Time{}) == 20 * MiB);
}

TEST_CASE("memory freed at the instant of its allocation is gone at the next") {
  PlanWriter w;
  const std::size_t p = w.program();
  w.release(p, w.allocate(p, Pool::pageable, 10 * MiB));
  const std::size_t q = w.program();
  pass(w, q, microseconds(5));
  w.allocate(q, Pool::pageable, 12 * MiB);
  CHECK(run(w.plan).hosts[0].peak == 12 * MiB);
}

TEST_CASE("folded ranks weigh as much on a host as the same ranks apart") {
  const auto write = [](PlanWriter& w) {
    const std::size_t p = w.program();
    const TensorId a = w.allocate(p, Pool::pinned, 3 * MiB, Category::gradients);
    const TensorId b = w.allocate(p, Pool::pageable, 5 * MiB);
    w.release(p, b);  // at the same instant as its allocation
    pass(w, p, microseconds(3));
    w.release(p, a);
    w.allocate(p, Pool::pageable, 2 * MiB, Category::optimizer);
    return p;
  };
  PlanWriter folded, apart;
  folded.plan.programs[write(folded)].ranks_per_host = 4;
  for (int i = 0; i < 4; ++i) write(apart);
  const HostOutcome a = run(folded.plan).hosts[0], b = run(apart.plan).hosts[0];
  CHECK(a.peak == 36 * MiB);
  CHECK(a.peak == b.peak);
  CHECK(a.by_category == b.by_category);
  CHECK(a.pinned_at_peak == b.pinned_at_peak);
}

TEST_CASE("host classes are separate") {
  PlanWriter w;
  w.plan.host_classes.push_back({"host1", 3, 0, 0});
  w.allocate(w.program(), Pool::pageable, 10);
  const std::size_t p = w.program();
  w.plan.programs[p].host_class = 1;
  w.plan.programs[p].ranks_per_host = 2;
  w.allocate(p, Pool::pageable, 100);
  const Outcome outcome = run(w.plan);
  CHECK(outcome.hosts[0].peak == 10);
  CHECK(outcome.hosts[1].peak == 200);
}

TEST_CASE("a tensor that another stream still works on is not allocated any more, but its memory serves nobody yet") {
  const bool waits = GENERATE(true, false);
  PlanWriter w;
  const std::size_t p = w.program(2);
  const TensorId gathered = w.allocate(p, Pool::device, 64 * MiB);
  if (waits) w.plan.programs[p].tensors[gathered.index()].used_on = StreamId(1);
  const TaskId use = w.compute(p, 1, microseconds(50));
  w.release(p, gathered);
  w.allocate(p, Pool::device, 64 * MiB);
  CHECK(run(w.plan).programs[p].device.allocated == 64 * MiB);
  CHECK(run(w.plan).programs[p].device.reserved == (waits ? 128 : 64) * MiB);
  w.synchronize(p, use);
  w.allocate(p, Pool::device, 64 * MiB);  // now it is free
  CHECK(run(w.plan).programs[p].device.reserved == 128 * MiB);
}

TEST_CASE("expandable segments are the program's own choice") {
  PlanWriter w;
  const std::size_t p = w.program();
  w.plan.programs[p].expandable_segments = true;
  w.allocate(p, Pool::device, 11 * MiB);
  CHECK(run(w.plan).programs[p].device.reserved == 20 * MiB);
}
