#include "sim/engine/pinned_allocator.hpp"

#include "catch.hpp"
#include "model/core/error.hpp"
#include "tests/engine/plan_writer.hpp"

using namespace shardsim;

TEST_CASE("pinned blocks are powers of two") {
  CHECK(PinnedAllocator::block_size(0) == 0);
  CHECK(PinnedAllocator::block_size(1) == 1);
  CHECK(PinnedAllocator::block_size(6 * GiB) == 8 * GiB);
  CHECK(PinnedAllocator::block_size(8 * GiB) == 8 * GiB);
  CHECK(PinnedAllocator::block_size(8 * GiB + 1) == 16 * GiB);
  CHECK(PinnedAllocator::block_size(4'500'000'000) == 8'589'934'592);
  CHECK_THROWS_AS(PinnedAllocator::block_size((std::int64_t{1} << 62) + 1), InputError);
}

TEST_CASE("a freed pinned block serves its own size only, and is never given back") {
  PinnedAllocator a;
  a.allocate(Category::gradients, 3 * MiB);
  a.release(Category::gradients, 3 * MiB);
  CHECK(a.reserved() == 4 * MiB);
  a.allocate(Category::gradients, 4 * MiB);
  CHECK(a.reserved() == 4 * MiB);
  a.release(Category::gradients, 4 * MiB);
  a.allocate(Category::gradients, 2 * MiB);  // half would do, but is not cut off
  CHECK(a.reserved() == 6 * MiB);
  a.allocate(Category::gradients, 5 * MiB);
  CHECK(a.reserved() == 14 * MiB);
}

TEST_CASE("a cached block is on the account of its last owner") {
  PinnedAllocator a;
  const auto held = [&](Category c) { return a.by_category()[static_cast<std::size_t>(c)]; };
  a.allocate(Category::gradients, 1 * MiB);
  a.release(Category::gradients, 1 * MiB);
  CHECK(held(Category::gradients) == 1 * MiB);
  a.allocate(Category::optimizer, 1 * MiB);
  CHECK(held(Category::gradients) == 0);
  CHECK(held(Category::optimizer) == 1 * MiB);
  CHECK(a.reserved() == 1 * MiB);
}
