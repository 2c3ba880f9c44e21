// Collectives across nodes against what has been read (tests/published/collectives.csv).
#include "catch.hpp"
#include "sim/cost/collective_time.hpp"

using namespace shardsim;

namespace {

constexpr double MiB = 1 << 20;

/// Bus bandwidth over nodes of 8 H100 with 400 GB/s of NICs a node, of which 0.93 is payload.
double busbw(CollectiveKind kind, double bytes, std::int64_t nodes) {
  const CollectiveShape shape{8 * nodes, nodes, HopKind::nvlink, nodes > 1 ? 367e9 : 450e9 * 0.815};
  const double n = static_cast<double>(shape.ranks);
  const double sent = bytes * (kind == CollectiveKind::all_reduce ? 2 : 1) * (n - 1) / n;
  const CollectiveCost cost = collective_cost(kind, bytes, shape);
  return sent / (cost.latency.seconds() + cost.bytes / shape.bandwidth);
}

}  // namespace

TEST_CASE("all-gather over more nodes loses bandwidth as read") {
  // nanotron ultrascale playbook, fragments/pp_comm_bandwidth.html, 256 MB, 95th percentile.
  CHECK(busbw(CollectiveKind::all_gather, 256 * MiB, 8) == Approx(178.5e9).epsilon(0.15));
  CHECK(busbw(CollectiveKind::all_gather, 256 * MiB, 16) == Approx(126.7e9).epsilon(0.15));
  CHECK(busbw(CollectiveKind::all_gather, 256 * MiB, 32) == Approx(77e9).epsilon(0.15));
  CHECK(busbw(CollectiveKind::all_gather, 256 * MiB, 64) == Approx(44.4e9).epsilon(0.15));
  // NVIDIA/nccl issue 1218, 2 GB over 32 nodes.
  CHECK(busbw(CollectiveKind::all_gather, 2048 * MiB, 32) == Approx(200e9).epsilon(0.25));
}

TEST_CASE("all-reduce over more nodes goes by the tree and stays where it is") {
  for (const std::int64_t nodes : {8, 16, 32, 64}) {
    INFO(nodes);
    CHECK(busbw(CollectiveKind::all_reduce, 256 * MiB, nodes) == Approx(188e9).epsilon(0.1));
  }
}

TEST_CASE("inside a node nothing of the network counts") {
  const double alone = busbw(CollectiveKind::all_gather, 256 * MiB, 1);
  CHECK(alone > 0.85 * 450e9 * 0.815);
}
