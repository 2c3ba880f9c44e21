#include "sim/cost/kernel_time.hpp"

#include <algorithm>
#include <cmath>

#include "model/core/check.hpp"

namespace shardsim {

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
  const double rate = device_.memory_bandwidth.bytes_per_second * device_.memory_efficiency;
  return device_.kernel_floor + Time::from_seconds(bytes / rate);
}

Time KernelTimes::matmul(const Kernel& kernel) const {
  if (kernel.flops <= 0) return of_bytes(kernel.bytes);
  const double fraction = fraction_at(device_.matmul_curve, std::log10(kernel.flops));
  const Time compute = Flops{kernel.flops} / (matmul_peak(device_, kernel.type) * fraction);
  return std::max(device_.kernel_floor + compute, of_bytes(kernel.bytes));
}

Time KernelTimes::attention(const Kernel& kernel) const {
  if (kernel.flops <= 0) return of_bytes(kernel.bytes);
  const auto& curve = kernel.backward ? device_.attention_backward_curve : device_.attention_forward_curve;
  const double fraction = fraction_at(curve, std::log10(static_cast<double>(kernel.seq)));
  const Time compute = Flops{kernel.flops} / (matmul_peak(device_, kernel.type) * fraction);
  return std::max(device_.kernel_floor + compute, of_bytes(kernel.bytes));
}

}  // namespace shardsim
