// Each rule of c10/cuda/CUDACachingAllocator.cpp (PyTorch 2.x), one by one; tests/oracle has the real one beside it.
#include "sim/engine/caching_allocator.hpp"

#include <random>

#include "catch.hpp"
#include "tests/engine/plan_writer.hpp"

using namespace shardsim;

namespace {

constexpr StreamId compute{0}, side{1};

CachingAllocator roomy() { return CachingAllocator(2, 80 * GiB); }
CachingAllocator expandable(std::int64_t limit = 80 * GiB) {
  return CachingAllocator(2, limit, CachingAllocator::Segments::expandable);
}

}  // namespace

TEST_CASE("requests are rounded up to 512 bytes") {
  CachingAllocator a = roomy();
  a.allocate(compute, 1);
  CHECK(a.allocated() == 512);
  a.allocate(compute, 512);
  CHECK(a.allocated() == 1024);
  a.allocate(compute, 513);
  CHECK(a.allocated() == 2048);
}

TEST_CASE("no bytes, no block") {
  CachingAllocator a = roomy();
  const auto block = a.allocate(compute, 0);
  CHECK_FALSE(block.valid());
  CHECK(a.size(block) == 0);
  a.release(block);
  CHECK(a.allocated() == 0);
  CHECK(a.reserved() == 0);
}

TEST_CASE("the segment that a request opens") {
  struct Case {
    std::int64_t request, allocated, reserved;
  };
  const Case c = GENERATE(Case{512, 512, 2 * MiB}, Case{1 * MiB, 1 * MiB, 2 * MiB},  // small pool
                          Case{1 * MiB + 1, 1 * MiB + 512, 20 * MiB},                // shared large segment
                          Case{10 * MiB - 512, 10 * MiB - 512, 20 * MiB},            // still shared
                          Case{10 * MiB, 10 * MiB, 10 * MiB},                        // its own
                          Case{11 * MiB + 512 * KiB, 12 * MiB, 12 * MiB},            // remainder of 0.5 MiB stays
                          Case{10 * MiB + 1, 10 * MiB + 512, 12 * MiB},  // remainder of nearly 2 MiB is split off
                          Case{11 * MiB, 12 * MiB, 12 * MiB},            // 1 MiB is not more than 1 MiB
                          Case{1 * GiB + 1, 1 * GiB + 512, 1 * GiB + 2 * MiB});
  CachingAllocator a = roomy();
  a.allocate(compute, c.request);
  INFO("request " << c.request);
  CHECK(a.allocated() == c.allocated);
  CHECK(a.reserved() == c.reserved);
}

TEST_CASE("small requests share a segment until it is full") {
  CachingAllocator a = roomy();
  for (int i = 0; i < 4; ++i) a.allocate(compute, 512 * KiB);
  CHECK(a.reserved() == 2 * MiB);
  a.allocate(compute, 512);
  CHECK(a.reserved() == 4 * MiB);
}

TEST_CASE("small and large requests never share: a free large block does not serve a small request") {
  CachingAllocator a = roomy();
  a.release(a.allocate(compute, 20 * MiB));
  a.allocate(compute, 512);
  CHECK(a.reserved() == 22 * MiB);
}

TEST_CASE("a freed block serves its own stream at once, and no other stream ever") {
  CachingAllocator a = roomy();
  a.release(a.allocate(compute, 64 * MiB));
  a.allocate(compute, 64 * MiB);
  CHECK(a.reserved() == 64 * MiB);
  a.allocate(side, 64 * MiB);
  CHECK(a.reserved() == 128 * MiB);
}

TEST_CASE("best fit: the smallest block that is large enough") {
  CachingAllocator a = roomy();
  const auto large = a.allocate(compute, 100 * MiB), small = a.allocate(compute, 40 * MiB);
  a.release(large);
  a.release(small);
  const auto fitted = a.allocate(compute, 40 * MiB);
  CHECK(a.size(fitted) == 40 * MiB);
  a.allocate(compute, 100 * MiB);  // still there, whole
  CHECK(a.reserved() == 140 * MiB);
}

TEST_CASE("a large block keeps a remainder of up to 1 MiB, and allocated counts it") {
  CachingAllocator a = roomy();
  a.release(a.allocate(compute, 20 * MiB));
  const auto kept = a.allocate(compute, 19 * MiB);
  CHECK(a.size(kept) == 20 * MiB);
  CHECK(a.allocated() == 20 * MiB);
  a.release(kept);
  CHECK(a.size(a.allocate(compute, 19 * MiB - 512)) == 19 * MiB - 512);
}

TEST_CASE("a small block is split for any remainder") {
  CachingAllocator a = roomy();
  const auto block = a.allocate(compute, 1024);
  a.allocate(compute, 512);  // keeps the freed block from joining the rest
  a.release(block);
  CHECK(a.size(a.allocate(compute, 512)) == 512);
  CHECK(a.size(a.allocate(compute, 512)) == 512);
  CHECK(a.reserved() == 2 * MiB);
}

TEST_CASE("free neighbours join, in either order of release") {
  const bool left_first = GENERATE(true, false);
  CachingAllocator a = roomy();
  const auto left = a.allocate(compute, 6 * MiB), right = a.allocate(compute, 6 * MiB);
  a.allocate(compute, 8 * MiB);  // the rest of the 20 MiB
  CHECK(a.reserved() == 20 * MiB);
  a.release(left_first ? left : right);
  a.release(left_first ? right : left);
  a.allocate(compute, 12 * MiB);
  CHECK(a.reserved() == 20 * MiB);
}

TEST_CASE("blocks of different segments never join") {
  CachingAllocator a = roomy();
  const auto one = a.allocate(compute, 32 * MiB), other = a.allocate(compute, 32 * MiB);
  a.release(one);
  a.release(other);
  a.allocate(compute, 64 * MiB);
  CHECK(a.reserved() == 128 * MiB);
}

TEST_CASE("before passing the limit, segments that are wholly free are given back") {
  CachingAllocator a(1, 100 * MiB);
  a.release(a.allocate(compute, 60 * MiB));
  a.allocate(compute, 40 * MiB);  // splits the cached 60
  const auto whole = a.allocate(compute, 30 * MiB);
  CHECK(a.reserved() == 90 * MiB);
  a.release(whole);
  a.allocate(compute, 36 * MiB);  // 126 would pass; the 30 go, the 60 are in use
  CHECK(a.reserved() == 96 * MiB);
}

TEST_CASE("what does not fit is taken anyway: it is a result") {
  CachingAllocator a(1, 10 * MiB);
  a.allocate(compute, 30 * MiB);
  a.allocate(compute, 30 * MiB);
  CHECK(a.reserved() == 60 * MiB);
  CHECK(a.allocated() == 60 * MiB);
}

TEST_CASE("whatever comes and goes, the books balance") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20; ++round) {
    CachingAllocator a(2, 512 * MiB);
    std::vector<BlockId> live;
    std::int64_t sum = 0;
    for (int i = 0; i < 2000; ++i) {
      if (live.empty() || random() % 5 < 3) {
        const auto bytes = static_cast<std::int64_t>(random() % (std::uint64_t{1} << (4 + random() % 22)));
        const auto block = a.allocate(random() % 2 == 0 ? compute : side, bytes);
        REQUIRE(a.size(block) >= bytes);
        live.push_back(block);
        sum += a.size(block);
      } else {
        const std::size_t which = random() % live.size();
        sum -= a.size(live[which]);
        a.release(live[which]);
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(which));
      }
      REQUIRE(a.allocated() == sum);
      REQUIRE(a.reserved() >= sum);
    }
    for (const auto block : live) a.release(block);
    REQUIRE(a.allocated() == 0);
    a.allocate(compute, 1024 * MiB);  // passes the limit: everything else was joined into whole segments and goes
    REQUIRE(a.reserved() == 1024 * MiB);
  }
}

TEST_CASE("what another stream still works on serves again when that is done") {
  CachingAllocator a = roomy();
  a.release(a.allocate(compute, 64 * MiB, microseconds(1)), microseconds(9));
  CHECK(a.allocated() == 0);
  a.allocate(compute, 64 * MiB, microseconds(8));
  CHECK(a.reserved() == 128 * MiB);
  a.allocate(compute, 64 * MiB, microseconds(9));
  CHECK(a.reserved() == 128 * MiB);
}

TEST_CASE("before passing the limit, the allocator waits for other streams' work") {
  CachingAllocator a(1, 100 * MiB);
  a.release(a.allocate(compute, 64 * MiB), microseconds(9));
  a.allocate(compute, 64 * MiB, microseconds(1));
  CHECK(a.reserved() == 64 * MiB);
}

TEST_CASE("an expandable segment grows by pages: 2 MiB for small blocks, 20 MiB for large ones") {
  CachingAllocator a = expandable();
  for (int i = 0; i < 3; ++i) a.allocate(compute, 1 * MiB);
  CHECK(a.reserved() == 4 * MiB);
  a.allocate(compute, 11 * MiB);
  CHECK(a.reserved() == 24 * MiB);
  a.allocate(compute, 11 * MiB);  // 9 MiB are left of the page
  CHECK(a.reserved() == 44 * MiB);
  a.allocate(side, 11 * MiB);  // a segment of its own
  CHECK(a.reserved() == 64 * MiB);
}

TEST_CASE("a large block of an expandable segment is split for any remainder") {
  CachingAllocator a = expandable();
  CHECK(a.size(a.allocate(compute, 19 * MiB + 512 * KiB)) == 19 * MiB + 512 * KiB);
  CHECK(a.size(a.allocate(compute, 15 * MiB)) == 15 * MiB);
  CHECK(a.reserved() == 40 * MiB);
}

TEST_CASE("an expandable segment grows behind its last free block, where fixed segments would begin anew") {
  CachingAllocator grows = expandable(), begins = roomy();
  for (CachingAllocator* a : {&grows, &begins}) {
    a->release(a->allocate(compute, 100 * MiB));
    a->allocate(compute, 140 * MiB);
  }
  CHECK(grows.reserved() == 140 * MiB);
  CHECK(begins.reserved() == 240 * MiB);
}

TEST_CASE("an expandable segment gives back the whole pages of its free blocks, and fills the gaps first") {
  CachingAllocator a = expandable(200 * MiB);
  const auto first = a.allocate(compute, 70 * MiB);
  a.allocate(compute, 40 * MiB);  // to 110 of 120 MiB
  a.release(first);
  a.allocate(side, 90 * MiB);  // 220 would pass: of the 70 MiB, 3 pages go; of the 10 MiB behind, none
  CHECK(a.reserved() == 160 * MiB);
  a.allocate(compute, 30 * MiB);  // below the 40, from the lowest unmapped address: 2 pages
  CHECK(a.reserved() == 200 * MiB);
}
