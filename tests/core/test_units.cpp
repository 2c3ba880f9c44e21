// Arithmetic that leaves 64 bits is refused, durations round up, and our own mistakes are caught.
#include <cmath>
#include <cstdint>
#include <limits>

#include "catch.hpp"
#include "model/core/check.hpp"
#include "model/core/error.hpp"
#include "model/core/units.hpp"

using namespace shardsim;

namespace {
constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
}

TEST_CASE("bytes add, subtract and multiply up to the last one, then refuse") {
  CHECK((Bytes(3) + Bytes(4) - Bytes(2)).value() == 5);
  CHECK((Bytes(3) * 4).value() == 12);
  CHECK((4 * Bytes(3)).value() == 12);
  CHECK((Bytes(largest - 1) + Bytes(1)).value() == largest);
  CHECK_THROWS_AS(Bytes(largest) + Bytes(1), InputError);
  CHECK_THROWS_AS(Bytes(-largest) - Bytes(2), InputError);
  CHECK_THROWS_AS(Bytes(largest / 2 + 1) * 2, InputError);
  CHECK(Bytes(1) < Bytes(2));
}

TEST_CASE("times likewise") {
  CHECK((Time(3) + Time(4) - Time(2)).picoseconds() == 5);
  CHECK((Time(3) * 4).picoseconds() == 12);
  CHECK_THROWS_AS(Time(largest) + Time(1), InputError);
  CHECK_THROWS_AS(Time(-largest) - Time(2), InputError);
  CHECK_THROWS_AS(Time(largest / 2 + 1) * 2, InputError);
}

TEST_CASE("seconds become picoseconds, rounded up") {
  CHECK(Time::from_seconds(0).picoseconds() == 0);
  CHECK(Time::from_seconds(1).picoseconds() == 1'000'000'000'000);
  CHECK(Time::from_seconds(1e-13).picoseconds() == 1);
  CHECK(Time::from_seconds(2.5e-12).picoseconds() == 3);
  CHECK(Time(1'500'000'000'000).seconds() == Approx(1.5));
  CHECK_THROWS_AS(Time::from_seconds(1e7), InputError);
  CHECK_THROWS_AS(Time::from_seconds(-1e-9), InternalError);
  CHECK_THROWS_AS(Time::from_seconds(std::nan("")), InternalError);
  CHECK_THROWS_AS(Time::from_seconds(std::numeric_limits<double>::infinity()), InternalError);
}

TEST_CASE("amount over rate is a time; work that nothing does is our mistake") {
  CHECK((Bytes(8'000'000'000) / Bandwidth{450e9}).picoseconds() == 17'777'777'778);
  CHECK((Flops{312e12} / FlopRate{312e12}).picoseconds() == 1'000'000'000'000);
  CHECK((Bytes(0) / Bandwidth{0}).picoseconds() == 0);
  CHECK((Flops{0} / FlopRate{0}).picoseconds() == 0);
  CHECK_THROWS_AS(Bytes(1) / Bandwidth{0}, InternalError);
  CHECK_THROWS_AS(Flops{1} / FlopRate{0}, InternalError);
  CHECK_THROWS_AS(Bytes(1) / Bandwidth{std::nan("")}, InternalError);
  CHECK_THROWS_AS(Bytes(largest) / Bandwidth{1}, InputError);
}

TEST_CASE("rounding to granules and dividing into parts") {
  CHECK(round_up(0, 512) == 0);
  CHECK(round_up(1, 512) == 512);
  CHECK(round_up(512, 512) == 512);
  CHECK(round_up(513, 512) == 1024);
  CHECK_THROWS_AS(round_up(largest, 512), InputError);
  CHECK(ceil_div(0, 8) == 0);
  CHECK(ceil_div(17, 8) == 3);
  CHECK(ceil_div(16, 8) == 2);
  CHECK(ceil_div(largest, 2) == largest / 2 + 1);
}

TEST_CASE("an input error is one line of what, where and what would be right") {
  CHECK(std::string(InputError("a", "b", "c").what()) == "a (b); expected c");
  CHECK(std::string(InputError("a\nb\x1b[31m", "", "").what()) == "a b [31m");
}
