// The products of matrices that Newton-Schulz iterations consist of.
#pragma once

#include <cstdint>

#include "model/operators.hpp"

namespace shardsim {

/// `batch` products of m x k by k x n.
inline Kernel matrix_product(DType type, std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t batch = 1) {
  Kernel kernel;
  kernel.kind = KernelKind::matmul;
  kernel.type = type;
  kernel.m = m;
  kernel.n = n;
  kernel.k = k;
  kernel.batch = batch;
  const double dm = static_cast<double>(m), dn = static_cast<double>(n), dk = static_cast<double>(k);
  const double count = static_cast<double>(batch);
  kernel.flops = 2 * count * dm * dn * dk;
  kernel.bytes = static_cast<double>(size_of(type)) * count * (dm * dk + dk * dn + dm * dn);
  return kernel;
}

}  // namespace shardsim
