// What the host side costs: the frameworks' Python around the kernels, and the CPU optimizer.
#pragma once

#include "model/core/units.hpp"

namespace shardsim {

/// Host-thread times of the frameworks' hooks. No profile of these is published with its conditions: all are assumed,
/// from the order of magnitude of a Python call with a few torch operations (10 to 100 us), and are to be calibrated.
struct HookTimes {
  Time autograd_node = Time(3'000'000);         ///< 3 us: the C++ engine between two nodes (assumed)
  Time ddp_bucket = Time(20'000'000);           ///< 20 us: launching one bucket's all-reduce (assumed)
  Time zero3_hook = Time(20'000'000);           ///< 20 us: fetch or release of one module (assumed)
  Time zero_gradient_hook = Time(20'000'000);   ///< 20 us: one gradient's copy into its bucket (assumed)
  Time fsdp_unshard = Time(150'000'000);        ///< 150 us: pre-forward of one unit (assumed)
  Time fsdp_reduce = Time(150'000'000);         ///< 150 us: post-backward of one unit (assumed)
  Time bitsandbytes_tensor = Time(50'000'000);  ///< 50 us: the Python of one tensor's update (assumed)
  Time collective = Time(15'000'000);           ///< 15 us: c10d and NCCL enqueue (assumed)
};

/// Unscaling and clipping the fp32 gradient in place before the CPU optimizer: read 4, write 4.
inline constexpr double cpu_unscale_bytes = 8;
/// fp32 master to 16-bit copy: read 4, write 2, and the written line is read first.
inline constexpr double cpu_downcast_bytes = 8;

/// Share of STREAM bandwidth that a CPU Adam reaches: 110 to 127 GB/s of the 28 B a parameter (reads weight, gradient
/// and both moments, writes all but the gradient) on two Xeon 8168 (measured: Ren et al. 2021, ZeRO-Offload, CPU-Adam
/// table, 1 to 10 billion parameters), whose STREAM is about 205 GB/s.
inline constexpr double cpu_optimizer_bandwidth_fraction = 0.58;

/// Share of a pinned copy's speed that a pageable one reaches: the driver stages it through a bounce buffer with one
/// more pass over DRAM. Assumed: no clean x86 measurement is published.
inline constexpr double pageable_copy_fraction = 0.4;

}  // namespace shardsim
