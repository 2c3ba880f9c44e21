// Times of kernels, by hand from a device's figures.
#include "sim/cost/kernel_time.hpp"

#include "catch.hpp"

using namespace shardsim;

namespace {

/// 100 multiprocessors, 100 TFLOPS of which 80 are sustained, 1 TB/s of which 0.8 is reached, 2 us a kernel.
GpuSpec device() {
  GpuSpec spec;
  spec.matmul_16bit.flops_per_second = 100e12;
  spec.memory_bandwidth.bytes_per_second = 1e12;
  spec.memory_efficiency = 0.8;
  spec.multiprocessors = 100;
  spec.matmul_efficiency = 0.8;
  spec.kernel_floor = Time::from_seconds(2e-6);
  spec.attention_forward_curve = {{3, 0.4}, {4, 0.6}};
  spec.attention_backward_curve = {{3, 0.3}};
  return spec;
}

Kernel product(std::int64_t m, std::int64_t n, std::int64_t k) {
  Kernel kernel;
  kernel.kind = KernelKind::matmul;
  kernel.m = m;
  kernel.n = n;
  kernel.k = k;
  kernel.flops = 2 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  return kernel;
}

Kernel attention(std::int64_t seq, std::int64_t head_dim) {
  Kernel kernel;
  kernel.kind = KernelKind::attention;
  kernel.seq = seq;
  kernel.head_dim = head_dim;
  kernel.flops = 1e12;
  return kernel;
}

double milliseconds(const Kernel& kernel) { return 1e3 * KernelTimes(device()).of(kernel).seconds(); }

}  // namespace

TEST_CASE("a product that fills whole waves loses only its prologue") {
  // 25600 x 2560: 100 x 20 tiles of 256 x 128, 20 full waves; k of 8192 of 8192 + 128.
  CHECK(tile_efficiency(product(25600, 2560, 8192), 100) == Approx(8192.0 / 8320));
}

TEST_CASE("a wave that is begun is paid in full") {
  // 4 x 26 tiles of 256 x 128 need a second wave of 100 for 4 of them; 128 x 128 needs 208, three waves.
  const Kernel kernel = product(1024, 3328, 128'000'000);
  CHECK(tile_efficiency(kernel, 100) == Approx(0.85 * 416.0 / 500));  // 64 x 128: 416 in five waves
}

TEST_CASE("a product of one tile keeps one multiprocessor busy") {
  CHECK(tile_efficiency(product(64, 64, 128'000'000), 100) == Approx(0.7 / 100));
}

TEST_CASE("small heads waste what a product of many does not") {
  Kernel kernel = product(64, 64, 128'000'000);
  kernel.batch = 100;
  CHECK(tile_efficiency(kernel, 100) == Approx(0.7));
}

TEST_CASE("a product takes its FLOPs at the sustained rate, or its bytes where those take longer") {
  Kernel kernel = product(25600, 2560, 8192);
  const double compute = kernel.flops / (80e12 * 8192 / 8320);
  CHECK(milliseconds(kernel) == Approx(1e3 * compute + 2e-3));
  kernel.bytes = 1e12;
  CHECK(milliseconds(kernel) == Approx(1250 / 0.72 + 2e-3));  // the mix of a step, not one large copy
}

TEST_CASE("attention runs on its curve; the first generation and narrow heads are slower") {
  const double fast = milliseconds(attention(10000, 128));
  CHECK(fast == Approx(1e3 / 60 + 2e-3));
  CHECK(milliseconds(attention(100, 128)) == Approx(1e3 / 40 + 2e-3));
  CHECK(milliseconds(attention(10000, 64)) > 1.1 * fast);
  Kernel first = attention(10000, 128);
  first.first_generation = true;
  CHECK(milliseconds(first) > 1.7 * fast);
  Kernel backward = attention(10000, 128);
  backward.backward = true;
  CHECK(milliseconds(backward) == Approx(1e3 / 30 + 2e-3));
}
