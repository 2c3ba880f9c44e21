// For LD_PRELOAD: each look at a clock finds it hours before or behind, as after a suspended laptop, a corrected time
// or a summer that ends.
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace {

time_t jump() {
  static std::atomic<unsigned> state{12345};
  const unsigned next = state.load() * 1664525U + 1013904223U;
  state = next;
  constexpr unsigned most = 2 * 86400;
  return static_cast<time_t>((next >> 8) % most) - most / 2;
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const long status = ::syscall(SYS_clock_gettime, clock, now);
  if (status == 0) now->tv_sec += jump();
  return static_cast<int>(status);
}

extern "C" int gettimeofday(timeval* now, void*) noexcept {
  timespec precise{};
  const int status = clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return status;
}

extern "C" time_t time(time_t* now) noexcept {
  timespec precise{};
  clock_gettime(CLOCK_REALTIME, &precise);
  if (now != nullptr) *now = precise.tv_sec;
  return precise.tv_sec;
}
