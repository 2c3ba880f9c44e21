// How long a kernel runs on a device: a roofline with measured efficiency curves.
#pragma once

#include "model/core/units.hpp"
#include "model/operators.hpp"
#include "sim/topology/device.hpp"

namespace shardsim {

/// Times on one GPU. Matrix products run at the device's peak for their type times what the device sustains of it on
/// large products times tile_efficiency(), or at memory speed where that is slower (Williams et al. 2009, the
/// roofline); fused attention at the fraction of peak that its measured curves give at the sequence length; everything
/// else at the share of memory bandwidth that large elementwise kernels reach. Each kernel occupies its stream for the
/// device's shortest kernel time on top of that.
class KernelTimes {
 public:
  explicit KernelTimes(const GpuSpec& device) : device_(device) {}
  Time of(const Kernel& kernel) const;
  /// A kernel that reads and writes `bytes` of device memory in all.
  Time of_bytes(double bytes) const;
  /// Host time to launch one kernel.
  Time launch() const { return device_.kernel_launch; }

 private:
  Time matmul(const Kernel& kernel) const;
  Time attention(const Kernel& kernel) const;

  GpuSpec device_;
};

/// What summing a gradient of `bytes` into another reads and writes.
constexpr double gradient_sum_bytes(std::int64_t bytes) { return 3 * static_cast<double>(bytes); }

/// Peak rate of dense products in `type`: what MFU is measured against.
FlopRate matmul_peak(const GpuSpec& device, DType type);

/// The part of a large product's speed that one of this shape reaches: tiles that jut out over the edges,
/// multiprocessors without a tile in the last wave, and pipelines that fill and drain (NVIDIA, Matrix Multiplication
/// Background User's Guide, tile and wave quantization); the best of the usual tiles.
double tile_efficiency(const Kernel& kernel, int multiprocessors);

/// The curve's fraction at `log10_work`, linear between points, constant beyond the ends. `curve` is not empty.
double fraction_at(const std::vector<EfficiencyPoint>& curve, double log10_work);

}  // namespace shardsim
