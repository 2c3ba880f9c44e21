#include "sim/engine/freed_memory.hpp"

#include <cstdlib>
#ifdef __GLIBC__  // known once a header of the library is in
#include <malloc.h>
#endif

namespace shardsim {

void keep_freed_memory() {
#ifdef __GLIBC__
  constexpr int mapped_from = 32 << 20;  // the most that glibc takes
  constexpr int kept = 256 << 20;
  mallopt(M_MMAP_THRESHOLD, mapped_from);
  mallopt(M_TRIM_THRESHOLD, kept);
  mallopt(M_TOP_PAD, 8 << 20);
#endif
}

}  // namespace shardsim
