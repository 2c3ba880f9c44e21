// Collectives against NCCL's measured times (nccl-tests listings) and the closed forms of its algorithms.
#include "sim/cost/collective_time.hpp"

#include "catch.hpp"

using namespace shardsim;

namespace {

double seconds(CollectiveKind kind, double bytes, const CollectiveShape& shape) {
  const CollectiveCost cost = collective_cost(kind, bytes, shape);
  return cost.latency.seconds() + cost.bytes / shape.bandwidth;
}

/// nccl-tests' bus bandwidth of an all-reduce.
double busbw(double bytes, const CollectiveShape& shape) {
  const double n = static_cast<double>(shape.ranks);
  return bytes * 2 * (n - 1) / n / seconds(CollectiveKind::all_reduce, bytes, shape);
}

const CollectiveShape a100{8, 1, HopKind::nvlink, 234.9e9};
constexpr double MiB = 1 << 20;

}  // namespace

TEST_CASE("all-reduce on 8 A100 runs as measured, from latency to plateau") {
  // stas00/ml-engineering@744d01e1 network and microsoft/superbenchmark@700d6501: the listings differ by up to 35 %.
  CHECK(busbw(MiB, a100) < 40e9);  // measured 18 to 24.5: LL moves slower than NCCL says
  CHECK(busbw(16 * MiB, a100) == Approx(118e9).epsilon(0.15));
  CHECK(busbw(64 * MiB, a100) == Approx(186e9).epsilon(0.1));
  CHECK(busbw(1024 * MiB, a100) == Approx(229e9).epsilon(0.03));
  CHECK(seconds(CollectiveKind::all_reduce, 1024, a100) == Approx(35e-6).epsilon(0.1));
}

TEST_CASE("all-gather and reduce-scatter move half of what all-reduce does") {
  const double bytes = 4096 * MiB;
  CHECK(collective_cost(CollectiveKind::all_gather, bytes, a100).bytes == bytes * 7 / 8);
  CHECK(collective_cost(CollectiveKind::reduce_scatter, bytes, a100).bytes == bytes * 7 / 8);
  CHECK(collective_cost(CollectiveKind::all_reduce, bytes, a100).bytes == bytes * 14 / 8);
}

TEST_CASE("one rank sends nothing; more nodes take longer") {
  CHECK(collective_cost(CollectiveKind::all_reduce, 1e9, {1, 1, HopKind::nvlink, 1e9}).bytes == 0);
  const CollectiveShape two{16, 2, HopKind::nvlink, 190e9}, eight{64, 8, HopKind::nvlink, 190e9};
  for (const double bytes : {1e3, 1e6, 1e8}) {
    CHECK(seconds(CollectiveKind::all_reduce, bytes, two) < seconds(CollectiveKind::all_reduce, bytes, eight));
  }
}
