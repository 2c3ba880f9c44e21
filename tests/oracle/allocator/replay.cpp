// Replays traces of allocations through PyTorch's own CUDACachingAllocator on the fake device, and prints each line of
// the trace with what the real allocator then holds. One process a trace: the allocator's state is global.
#include <c10/core/AllocatorConfig.h>
#include <c10/cuda/CUDAAllocatorConfig.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/cuda/PeerToPeerAccess.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/oracle/allocator/fake_cuda.hpp"

// The library has it for libtorch_cuda.so alone; here nothing else answers whether the device has a context.
namespace c10::cuda::_internal {
void setHasPrimaryContext(bool (*answer)(c10::DeviceIndex));
}

namespace {

namespace caching = c10::cuda::CUDACachingAllocator;

struct Held {
  std::int64_t allocated = 0, reserved = 0;
};

Held held() {
  const auto stats = caching::getDeviceStats(0);
  return {stats.allocated_bytes[0].current, stats.reserved_bytes[0].current};
}

c10::cuda::CUDAStream stream_of(int number) {
  // Any pointer is a stream here; 0 is the default stream.
  return c10::cuda::getStreamFromExternal(reinterpret_cast<cudaStream_t>(static_cast<std::uintptr_t>(number) * 4096),
                                          0);
}

class Replay {
 public:
  explicit Replay(const std::string& head) {
    std::istringstream words(head);
    std::string trace, name, mode;
    FakeDevice& device = fake_device();
    words >> trace >> name >> mode >> device.total >> device.available;
    c10::CachingAllocator::setAllocatorSettings(mode == "expandable" ? "expandable_segments:True"
                                                                     : "expandable_segments:False");
    c10::cuda::_internal::setHasPrimaryContext([](c10::DeviceIndex) { return true; });
    caching::CUDAAllocatorConfig::set_expandable_segments_handle_type(
        caching::Expandable_Segments_Handle_Type::POSIX_FD);  // asks no NVML about fabric handles
    c10::cuda::detail::init_p2p_access_cache(1);
    caching::init(1);
    std::cout << head << '\n';
  }

  /// False: out of memory, and the trace ends.
  bool play(const std::string& line) {
    std::istringstream words(line);
    char kind = 0;
    std::int64_t first = 0, second = 0;
    words >> kind >> first >> second;
    try {
      if (kind == '+') allocate(static_cast<int>(first), static_cast<std::size_t>(second));
      if (kind == '-') blocks_.at(static_cast<std::size_t>(first)).clear();
      if (kind == 'r')
        caching::recordStream(blocks_.at(static_cast<std::size_t>(first)), stream_of(static_cast<int>(second)));
      if (kind == 'e') complete_events(stream_of(static_cast<int>(first)).stream(), second);
      if (kind == 'c') caching::emptyCache();
    } catch (const c10::OutOfMemoryError&) {
      std::cout << line << " out of memory\n";
      return false;
    }
    const Held now = held();
    std::cout << line;
    if (now.allocated != before_.allocated || now.reserved != before_.reserved) {
      std::cout << ' ' << now.allocated - before_.allocated;
      if (now.reserved != before_.reserved) std::cout << ' ' << now.reserved - before_.reserved;
    }
    std::cout << '\n';
    before_ = now;
    return true;
  }

 private:
  void allocate(int stream, std::size_t bytes) {
    c10::cuda::setCurrentCUDAStream(stream_of(stream));
    blocks_.push_back(caching::get()->allocate(bytes));
  }

  std::vector<at::DataPtr> blocks_;  // by order of allocation
  Held before_;
};

void play(const std::vector<std::string>& trace) {
  std::cout.flush();
  const pid_t child = fork();
  if (child == 0) {
    Replay replay(trace.front());
    for (std::size_t i = 1; i < trace.size() && replay.play(trace[i]); ++i) {
    }
    std::cout.flush();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) throw std::runtime_error(trace.front() + ": the allocator failed");
}

}  // namespace

int main() {
  std::vector<std::string> trace;
  for (std::string line; std::getline(std::cin, line);) {
    if (line.starts_with("trace ") && !trace.empty()) {
      play(trace);
      trace.clear();
    }
    trace.push_back(line);
  }
  if (!trace.empty()) play(trace);
}
