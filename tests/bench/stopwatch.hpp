// Timing for benches: a median over repeats, and a loop of fixed work to compare it with.
#pragma once

#include <algorithm>
#include <chrono>
#include <queue>
#include <random>
#include <vector>

namespace shardsim::bench {

/// Median over repeats that together take about half a second.
template <class Work>
double median_ns(Work work) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> samples;
  double total = 0;
  while (samples.size() < 5 || total < 5e8) {
    const auto begin = Clock::now();
    work();
    samples.push_back(std::chrono::duration<double, std::nano>(Clock::now() - begin).count());
    total += samples.back();
  }
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

/// A pop and a push on std::priority_queue with 1000 events pending: what an event costs a textbook simulator.
inline double calibrate() {
  constexpr int turns = 100'000;
  const double ns = median_ns([] {
    std::minstd_rand random(1);
    std::priority_queue<std::pair<std::int64_t, int>> queue;
    for (int i = 0; i < 1000; ++i) queue.push({-static_cast<std::int64_t>(random()), i});
    for (int i = 0; i < turns; ++i) {
      const auto [instant, id] = queue.top();
      queue.pop();
      queue.push({instant - static_cast<std::int64_t>(random() % 1'000'000), id});
    }
  });
  return ns / turns;
}

}  // namespace shardsim::bench
