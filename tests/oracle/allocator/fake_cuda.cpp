// A CUDA runtime and driver without a GPU: one device of a given size that hands out addresses and keeps count, so that
// PyTorch's own caching allocator runs on it, unchanged. Nothing behind the addresses exists. Built as libcudart.so.13.
#include "tests/oracle/allocator/fake_cuda.hpp"

#include <cuda.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cstring>
#include <map>

namespace {

FakeDevice device;
std::uintptr_t next_address = std::uintptr_t{1} << 40;
std::map<std::uintptr_t, std::size_t> segments;  // cudaMalloc'ed, by address
std::map<CUmemGenericAllocationHandle, std::size_t> handles;
std::map<cudaStream_t, long> issued, completed;

struct Event {
  cudaStream_t stream = nullptr;
  long ticket = 0;
};

bool take(std::size_t bytes) {
  if (device.used + bytes > device.available) return false;
  device.used += bytes;
  return true;
}

std::uintptr_t reserve(std::size_t bytes) {
  const std::uintptr_t address = next_address;
  next_address += bytes;
  return address;
}

}  // namespace

FakeDevice& fake_device() { return device; }
void complete_events(void* pointer, long count) {
  const cudaStream_t stream = static_cast<cudaStream_t>(pointer);
  completed[stream] = count == 0 ? issued[stream] : count;
}

extern "C" {

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  if (!take(bytes)) return cudaErrorMemoryAllocation;
  const std::uintptr_t address = reserve(bytes);
  segments[address] = bytes;
  *pointer = reinterpret_cast<void*>(address);
  return cudaSuccess;
}
cudaError_t cudaFree(void* pointer) {
  const auto segment = segments.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (segment == segments.end()) return cudaErrorInvalidValue;
  device.used -= segment->second;
  segments.erase(segment);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  *available = device.available - device.used;
  *total = device.total;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int* number) { return *number = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::memset(properties, 0, sizeof *properties);
  properties->totalGlobalMem = device.total;
  properties->major = 9;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorName(cudaError_t) { return "fake"; }
const char* cudaGetErrorString(cudaError_t) { return "an error of the fake device"; }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete reinterpret_cast<Event*>(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  *reinterpret_cast<Event*>(event) = {stream, ++issued[stream]};
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Event& e = *reinterpret_cast<Event*>(event);
  return e.ticket <= completed[e.stream] ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) { return *least = *greatest = 0, cudaSuccess; }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  *stream = reinterpret_cast<cudaStream_t>(new char);
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  return *status = cudaStreamCaptureStatusNone, cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) { return cudaSuccess; }

CUresult cuMemAddressReserve(CUdeviceptr* pointer, size_t bytes, size_t, CUdeviceptr, unsigned long long) {
  *pointer = reserve(bytes);
  return CUDA_SUCCESS;
}
CUresult cuMemAddressFree(CUdeviceptr, size_t) { return CUDA_SUCCESS; }
CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, size_t bytes, const CUmemAllocationProp*,
                     unsigned long long) {
  static CUmemGenericAllocationHandle last = 0;
  if (!take(bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
  handles[*handle = ++last] = bytes;
  return CUDA_SUCCESS;
}
CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  device.used -= handles.at(handle);
  handles.erase(handle);
  return CUDA_SUCCESS;
}
CUresult cuMemMap(CUdeviceptr, size_t, size_t, CUmemGenericAllocationHandle, unsigned long long) {
  return CUDA_SUCCESS;
}
CUresult cuMemUnmap(CUdeviceptr, size_t) { return CUDA_SUCCESS; }
CUresult cuMemSetAccess(CUdeviceptr, size_t, const CUmemAccessDesc*, size_t) { return CUDA_SUCCESS; }
CUresult cuMemGetAllocationGranularity(size_t* bytes, const CUmemAllocationProp*, CUmemAllocationGranularity_flags) {
  return *bytes = 2u << 20, CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult, const char** text) { return *text = "an error of the fake driver", CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice* number, int) { return *number = 0, CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute, CUdevice) { return *value = 0, CUDA_SUCCESS; }

// Calls that the allocator's library names and these traces never make.
CUresult cu_not_there() { return CUDA_ERROR_NOT_SUPPORTED; }
cudaError_t cuda_not_there() { return cudaErrorNotSupported; }
__asm__(
#define ABSENT(name) ".globl " #name "\n.set " #name ", cuda_not_there\n"
    ABSENT(cudaDeviceCanAccessPeer) ABSENT(cudaDeviceEnablePeerAccess) ABSENT(cudaDeviceGetDefaultMemPool)
        ABSENT(cudaEventElapsedTime) ABSENT(cudaFreeAsync) ABSENT(cudaGraphNodeGetDependencies)
            ABSENT(cudaIpcCloseMemHandle) ABSENT(cudaIpcGetMemHandle) ABSENT(cudaIpcOpenMemHandle)
                ABSENT(cudaMallocAsync) ABSENT(cudaMemPoolGetAttribute) ABSENT(cudaMemPoolSetAccess)
                    ABSENT(cudaMemPoolSetAttribute) ABSENT(cudaMemPoolTrimTo) ABSENT(cudaMemcpy) ABSENT(cudaMemcpyAsync)
                        ABSENT(cudaMemcpyPeerAsync) ABSENT(cudaStreamGetCaptureInfo));

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* found) {
  *function = dlsym(RTLD_DEFAULT, name);
  if (*function == nullptr) *function = reinterpret_cast<void*>(&cu_not_there);
  if (found != nullptr) *found = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}

}  // extern "C"
