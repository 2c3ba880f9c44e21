#include "sim/cost/kernel_time.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "model/core/check.hpp"
#include "sim/cost/constants.hpp"

namespace shardsim {

namespace {

/// What a multiprocessor computes at once, and how fast relative to the largest shape. Shapes are those that cuBLAS
/// takes most; the smaller ones' speeds are assumed.
struct Tile {
  double m, n, speed;
};
constexpr std::array<Tile, 6> tiles{
    {{256, 128, 1}, {128, 256, 1}, {128, 128, 0.95}, {64, 128, 0.85}, {128, 64, 0.85}, {64, 64, 0.7}}};

}  // namespace

double tile_efficiency(const Kernel& kernel, int multiprocessors) {
  const double m = static_cast<double>(kernel.m), n = static_cast<double>(kernel.n), k = static_cast<double>(kernel.k);
  const double batch = static_cast<double>(kernel.batch), processors = multiprocessors;
  double best = 0;
  for (const Tile& tile : tiles) {
    const double count = std::ceil(m / tile.m) * std::ceil(n / tile.n) * batch;
    const double waves = std::ceil(count / processors);
    best = std::max(best, tile.speed * m * n * batch / (waves * processors * tile.m * tile.n));
  }
  return best * k / (k + cost_constants().prologue);
}

double fraction_at(const std::vector<EfficiencyPoint>& curve, double log10_work) {
  SHARDSIM_CHECK(!curve.empty(), "a device file gives every curve at least one point");
  if (log10_work <= curve.front().log10_work) return curve.front().fraction;
  for (std::size_t i = 1; i < curve.size(); ++i) {
    if (log10_work > curve[i].log10_work) continue;
    const EfficiencyPoint& low = curve[i - 1];
    const EfficiencyPoint& high = curve[i];
    const double along = (log10_work - low.log10_work) / (high.log10_work - low.log10_work);
    return low.fraction + along * (high.fraction - low.fraction);
  }
  return curve.back().fraction;
}

FlopRate matmul_peak(const GpuSpec& device, DType type) {
  switch (type) {
    case DType::f32:
      return device.matmul_f32;
    case DType::f8:
      return device.matmul_f8.flops_per_second > 0 ? device.matmul_f8 : device.matmul_16bit;
    default:
      return device.matmul_16bit;
  }
}

Time KernelTimes::of(const Kernel& kernel) const {
  switch (kernel.kind) {
    case KernelKind::matmul:
      return matmul(kernel);
    case KernelKind::attention:
      return attention(kernel);
    case KernelKind::memory:
      return of_bytes(kernel.bytes);
  }
  return Time{};
}

Time KernelTimes::of_bytes(double bytes) const {
  const double rate =
      device_.memory_bandwidth.bytes_per_second * device_.memory_efficiency * cost_constants().kernel_mix;
  return device_.kernel_floor + Time::from_seconds(bytes / rate);
}

Time KernelTimes::matmul(const Kernel& kernel) const {
  if (kernel.flops <= 0) return of_bytes(kernel.bytes);
  const double fraction = device_.matmul_efficiency * tile_efficiency(kernel, device_.multiprocessors);
  const Time compute = Flops{kernel.flops} / (matmul_peak(device_, kernel.type) * fraction);
  return std::max(device_.kernel_floor + compute, of_bytes(kernel.bytes));
}

Time KernelTimes::attention(const Kernel& kernel) const {
  if (kernel.flops <= 0) return of_bytes(kernel.bytes);
  const auto& curve = kernel.backward ? device_.attention_backward_curve : device_.attention_forward_curve;
  double fraction = fraction_at(curve, std::log10(static_cast<double>(kernel.seq)));
  if (kernel.first_generation) fraction *= cost_constants().first_generation_speed;
  if (kernel.head_dim <= 64) fraction *= cost_constants().narrow_head_speed;
  const Time compute = Flops{kernel.flops} / (matmul_peak(device_, kernel.type) * fraction);
  return std::max(device_.kernel_floor + compute, of_bytes(kernel.bytes));
}

}  // namespace shardsim
