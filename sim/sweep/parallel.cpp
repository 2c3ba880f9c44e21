#include "sim/sweep/parallel.hpp"

#include <exception>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace shardsim {

void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& work) {
  // No exception may leave an OpenMP region.
  std::vector<std::exception_ptr> failures(count);
#ifdef _OPENMP
  const int team = threads > 0 ? threads : omp_get_max_threads();
#pragma omp parallel for schedule(dynamic) num_threads(team)
#else
  static_cast<void>(threads);
#endif
  for (std::size_t i = 0; i < count; ++i) {
    try {
      work(i);
    } catch (...) {
      failures[i] = std::current_exception();
    }
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace shardsim
