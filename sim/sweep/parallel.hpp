// Independent pieces of work on all cores.
#pragma once

#include <cstddef>
#include <functional>

namespace shardsim {

/// Calls `work(i)` for each i below `count`, in any order, on up to `threads` threads (0: all that the machine has; one
/// where the program was built without OpenMP). Rethrows the exception of the smallest i that threw, after all others
/// are done.
void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& work);

}  // namespace shardsim
