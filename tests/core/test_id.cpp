// An id names one thing of one kind.
#include <type_traits>
#include <unordered_set>

#include "catch.hpp"
#include "model/core/id.hpp"

using namespace shardsim;

using TensorId = Id<struct TensorTag>;
using StreamId = Id<struct StreamTag>;

static_assert(!std::is_convertible_v<std::size_t, TensorId>);
static_assert(!std::is_convertible_v<TensorId, StreamId>);
static_assert(!std::is_constructible_v<TensorId, StreamId>);
static_assert(sizeof(TensorId) == 4);

TEST_CASE("ids index, compare and hash") {
  CHECK(TensorId(7).index() == 7);
  CHECK(TensorId(7).valid());
  CHECK_FALSE(TensorId().valid());
  CHECK(TensorId(1) < TensorId(2));
  CHECK(TensorId(2) == TensorId(2));
  CHECK(TensorId() != TensorId(0));
  const std::unordered_set<TensorId> set = {TensorId(1), TensorId(2), TensorId(1)};
  CHECK(set.size() == 2);
}
