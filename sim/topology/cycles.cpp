#include "sim/topology/cycles.hpp"

#include <algorithm>
#include <limits>

namespace shardsim {

namespace {

using Cycle = std::vector<std::size_t>;

/// Depth first over tours that start at part 0, each set of tours in ascending order only, so that none is tried twice.
struct Search {
  std::size_t parts;
  std::vector<int> links;  ///< still free
  std::size_t bound;
  std::vector<Cycle> chosen, best;
  int steps_left = 1'000'000;

  bool done() const { return best.size() == bound || steps_left <= 0; }
  int& between(std::size_t a, std::size_t b) { return links[a * parts + b]; }

  void take(std::size_t a, std::size_t b, int count) {
    between(a, b) -= count;
    between(b, a) -= count;
  }

  void next_cycle() {
    if (chosen.size() > best.size()) best = chosen;
    if (done()) return;
    Cycle path{0};
    std::vector<bool> visited(parts, false);
    visited[0] = true;
    extend(path, visited);
  }

  void extend(Cycle& path, std::vector<bool>& visited) {
    if (--steps_left <= 0 || done()) return;
    const std::size_t last = path.back();
    if (path.size() == parts) {
      // Each tour once, not also backwards; and not before the one chosen last.
      const bool repeats = path[1] > last || (!chosen.empty() && path < chosen.back());
      if (repeats || between(last, 0) == 0) return;
      take(last, 0, 1);
      chosen.push_back(path);
      next_cycle();
      chosen.pop_back();
      take(last, 0, -1);
      return;
    }
    for (std::size_t next = 1; next < parts; ++next) {
      if (visited[next] || between(last, next) == 0) continue;
      visited[next] = true;
      take(last, next, 1);
      path.push_back(next);
      extend(path, visited);
      path.pop_back();
      take(last, next, -1);
      visited[next] = false;
      if (done()) return;
    }
  }
};

}  // namespace

std::vector<Cycle> disjoint_cycles(std::size_t parts, std::vector<int> links) {
  int scarcest = std::numeric_limits<int>::max();
  for (std::size_t a = 0; a < parts; ++a) {
    int degree = 0;
    for (std::size_t b = 0; b < parts; ++b) degree += links[a * parts + b];
    scarcest = std::min(scarcest, degree);
  }
  Search search{parts, std::move(links), static_cast<std::size_t>(scarcest) / 2, {}, {}};
  search.next_cycle();
  return search.best;
}

}  // namespace shardsim
