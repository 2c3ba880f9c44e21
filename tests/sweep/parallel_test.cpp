// Is every piece of work done once, whatever the number of threads, and is a failure heard?
#include <atomic>
#include <stdexcept>
#include <vector>

#include "catch.hpp"
#include "sim/sweep/parallel.hpp"

using namespace shardsim;

TEST_CASE("each index is worked on exactly once") {
  for (const int threads : {0, 1, 2, 7}) {
    std::vector<std::atomic<int>> visits(100);
    parallel_for(visits.size(), threads, [&](std::size_t i) { ++visits[i]; });
    for (const auto& count : visits) CHECK(count == 1);
  }
  parallel_for(0, 3, [](std::size_t) { FAIL("nothing to do"); });
}

TEST_CASE("the first failure is rethrown after all else is done") {
  std::atomic<int> done = 0;
  const auto work = [&](std::size_t i) {
    if (i == 3 || i == 8) throw std::runtime_error(std::to_string(i));
    ++done;
  };
  CHECK_THROWS_WITH(parallel_for(10, 4, work), "3");
  CHECK(done == 8);
}
