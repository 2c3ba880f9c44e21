// The reference sweep: Llama-2-7B under ddp, zero1, zero2, zero3 and fsdp, with and without offload, on four machines,
// checkpointing none and full, micro-batch 1..8, sequence 1k..8k; full reports, of which a sweep keeps the key figures.
// Points a second and core, tasks a second, allocations a point, and what a second thread and a second process bring.
//
//   bench_sweep [N]     every N-th point (1 to 48) of each stretch of equal plans (default 1: all 7 680)
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "sim/engine/freed_memory.hpp"
#include "sim/plan/runtime_defaults.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/search/evaluate.hpp"
#include "tests/bench/stopwatch.hpp"

namespace {

std::atomic<std::uint64_t> allocations{0};

}  // namespace

void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using namespace shardsim;
using Clock = std::chrono::steady_clock;

const DataFolders& data() {
  static const DataFolders folders{std::string(SHARDSIM_SOURCE) + "/model/zoo",
                                   std::string(SHARDSIM_SOURCE) + "/topologies"};
  return folders;
}

/// Stretches of points that differ in micro-batch and sequence alone.
std::vector<std::vector<OptionTexts>> stretches(std::size_t every) {
  std::vector<std::vector<OptionTexts>> all;
  for (const char* machine : {"8xA100", "dgx-a100-40gb", "8xH100", "hgx-h200"}) {
    for (const char* strategy : {"ddp", "zero1", "zero2", "zero3", "fsdp", "zero1-offload", "zero2-offload",
                                 "zero3-offload", "zero3-offload-param", "fsdp-offload"}) {
      for (const char* checkpointing : {"none", "full"}) {
        std::vector<OptionTexts>& points = all.emplace_back();
        for (std::size_t i = 0; i < 96; i += every) {
          points.push_back({{"model", {"llama-2-7b", ""}},
                            {"topology", {machine, ""}},
                            {"strategy", {strategy, ""}},
                            {"checkpointing", {checkpointing, ""}},
                            {"micro-batch", {std::to_string(1 + i / 12), ""}},
                            {"seq-len", {std::to_string(1024 + 640 * (i % 12)), ""}}});
        }
      }
    }
  }
  return all;
}

/// Works off the stretches first, first + step, ...; how many points failed.
std::size_t work_off(const std::vector<std::vector<OptionTexts>>& all, std::size_t first, std::size_t step,
                     const std::shared_ptr<MemoryCache>& memory) {
  Evaluator evaluator(data(), memory);
  std::size_t failed = 0;
  for (std::size_t s = first; s < all.size(); s += step) {
    for (const OptionTexts& point : all[s]) {
      const PointStatus status = evaluator.evaluate(point).status;
      if (status != PointStatus::fits && status != PointStatus::does_not_fit) ++failed;
    }
  }
  return failed;
}

double seconds(const auto& work) {
  const auto begun = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

/// Two processes that share nothing, as two ranks do.
void fork_two(const std::vector<std::vector<OptionTexts>>& all) {
  for (std::size_t rank = 0; rank < 2; ++rank) {
    if (::fork() == 0) {
      work_off(all, rank, 2, std::make_shared<MemoryCache>());
      ::_exit(0);
    }
  }
  for (int status = 0; ::wait(&status) > 0;) {
  }
}

double tasks_of(const OptionTexts& texts) {
  const Request request = resolve_request(texts);
  Scenario scenario = load_scenario(request, data());
  const Request resolved =
      with_runtime_defaults(request, scenario.topology, scenario.architecture, scenario.topology.assumptions);
  double tasks = 0;
  for (const Program& program : make_plan(resolved, scenario.topology, scenario.architecture).plan.programs) {
    tasks += static_cast<double>(program.tasks.size());
  }
  return tasks;
}

}  // namespace

int main(int count, char** words) {
  keep_freed_memory();
  const std::size_t every = count > 1 ? std::clamp<std::size_t>(std::strtoull(words[1], nullptr, 10), 1, 48) : 1;
  const std::vector<std::vector<OptionTexts>> all = stretches(every);
  double points = 0, tasks = 0;
  for (const std::vector<OptionTexts>& stretch : all) {
    points += static_cast<double>(stretch.size());
    tasks += static_cast<double>(stretch.size()) * tasks_of(stretch.front());
  }
  std::printf("calibration: %.1f ns a priority-queue pop and push\n", bench::calibrate());
  std::size_t failed = 0;
  const double alone = seconds([&] { failed = work_off(all, 0, 1, std::make_shared<MemoryCache>()); });
  std::printf("%.0f points, %zu failed: %.1f points/s on one core, %.2f million tasks/s\n", points, failed,
              points / alone, tasks / alone / 1e6);

  Evaluator warm(data());
  warm.evaluate(all.front()[0]);
  warm.evaluate(all.front()[1]);
  const std::uint64_t before = allocations;
  warm.evaluate(all.front()[2]);
  std::printf("%llu allocations a point after warm-up (ddp)\n", static_cast<unsigned long long>(allocations - before));

  const double threads = seconds([&] {
    const auto memory = std::make_shared<MemoryCache>();
    std::thread other([&] { work_off(all, 1, 2, memory); });
    work_off(all, 0, 2, memory);
    other.join();
  });
  const double ranks = seconds([&] { fork_two(all); });
  std::printf("two threads: %.2f times as fast, two processes: %.2f times\n", alone / threads, alone / ranks);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("most memory: %.0f MB\n", static_cast<double>(usage.ru_maxrss) / 1024);
}
