// How fast the engine is: nanoseconds a task and simulated steps a second, next to a calibration loop of the same run.
#include <cstdio>
#include <random>

#include "sim/engine/check_plan.hpp"
#include "sim/engine/engine.hpp"
#include "sim/engine/event_loop.hpp"
#include "sim/engine/ledger.hpp"
#include "tests/bench/stopwatch.hpp"
#include "tests/theory/zero3_workload.hpp"

using namespace shardsim;
using bench::calibrate;
using bench::median_ns;

namespace {

/// Eager training on `programs` ranks: kernels that a host thread issues, each with an activation, and a collective and
/// a copy over a shared link every sixteen kernels.
Plan eager_ranks(std::size_t programs, std::size_t tasks) {
  PlanWriter w;
  const std::uint32_t network = w.link(400e9), root = w.link(100e9);
  Transfer all;
  all.participants = static_cast<std::uint16_t>(programs);
  std::vector<TransferId> collectives;
  for (std::size_t i = 0; i < tasks / 18; ++i) collectives.push_back(w.transfer(4e6, {{network, 1}}, all));
  for (std::size_t p = 0; p < programs; ++p) {
    w.program(3);
    std::minstd_rand random(static_cast<std::uint32_t>(p + 1));
    std::vector<TensorId> live;
    for (const TransferId collective : collectives) {
      TaskId last;
      for (int i = 0; i < 16; ++i) {
        last = w.compute(p, 0, Time(8'000'000 + static_cast<std::int64_t>(random() % 4'000'000)), {}, microseconds(5));
        live.push_back(w.allocate(p, Pool::device, (std::int64_t{3} << (8 + random() % 20))));
        if (live.size() > 64) {
          const std::size_t which = random() % live.size();
          w.release(p, live[which]);
          live.erase(live.begin() + static_cast<std::ptrdiff_t>(which));
        }
      }
      const TaskId gathered = w.move(p, 1, collective, {last});
      w.move(p, 2, w.transfer(1e5, {{root, 1}}), {last, gathered});
    }
  }
  return w.plan;
}

void report(const char* name, const Plan& plan, double calibration) {
  std::size_t tasks = 0, memory_events = 0;
  for (const Program& program : plan.programs) {
    tasks += program.tasks.size();
    for (const Instruction& i : program.instructions) {
      memory_events += i.kind == Instruction::Kind::allocate || i.kind == Instruction::Kind::release;
    }
  }
  const Outcome outcome = run(plan);
  const Timeline timeline = play(plan);
  const std::vector<MemoryScript> scripts = prepare(plan).memory;
  const double whole = median_ns([&] { run(plan); });
  const double loop = median_ns([&] { play(plan); });
  const double check = median_ns([&] { check_plan(plan); });
  const double memory = median_ns([&] {
    for (std::size_t p = 0; p < plan.programs.size(); ++p) {
      replay_device_memory(plan.programs[p], scripts[p].device,
                           {timeline.programs[p].spans, timeline.programs[p].instants}, plan.steps);
    }
  });
  const double n = static_cast<double>(tasks), m = static_cast<double>(memory_events);
  std::printf("%-22s %8zu %9lld %9.1f %9.1f %9.1f %9.1f %8.2f %12.0f\n", name, tasks,
              static_cast<long long>(outcome.events), whole / n, loop / n, check / n,
              memory_events == 0 ? 0 : memory / m, loop / n / calibration, 1e9 / whole);
}

}  // namespace

int main() {
  const double calibration = calibrate();
  std::printf("calibration: %.1f ns a pop and push\n", calibration);
  std::printf("%-22s %8s %9s %9s %9s %9s %9s %8s %12s\n", "workload", "tasks", "events", "ns/task", "loop", "check",
              "ns/alloc", "ratio", "plans/s");
  Zero3Workload z3, jittered;
  jittered.jitter = 0.01;
  report("z3 per hop", z3.per_hop(), calibration);
  report("z3 per hop, jittered", jittered.per_hop(), calibration);
  report("z3 rendezvous", z3.rendezvous(), calibration);
  report("z3 folded", z3.folded(), calibration);
  report("eager, 8 x 10k tasks", eager_ranks(8, 10'000), calibration);
}
