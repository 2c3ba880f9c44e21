// The one device of fake_cuda.cpp, for the program that drives it.
#pragma once

#include <cstddef>
#include <cstdint>

struct FakeDevice {
  std::size_t total = 0;      ///< as cudaGetDeviceProperties tells it
  std::size_t available = 0;  ///< what cudaMalloc and cuMemCreate have to give in all
  std::size_t used = 0;
};

FakeDevice& fake_device();
/// The first `count` events that were recorded on the stream are ready; 0: all so far.
void complete_events(void* stream, long count);
