// Are numbers written in the units that they claim?
#include "catch.hpp"
#include "sim/report/notation.hpp"

using namespace shardsim;

TEST_CASE("memory is in powers of two, bandwidth in powers of ten") {
  CHECK(in_gib(std::int64_t{80} << 30) == "80.0");
  CHECK(in_gib(80'000'000'000) == "74.5");
  CHECK(bandwidth_text(25e9) == "25.0 GB/s");
}

TEST_CASE("durations take the unit that suits them") {
  CHECK(duration_text(0) == "0 s");
  CHECK(duration_text(5.6e-6) == "5.6 us");
  CHECK(duration_text(0.0123) == "12.30 ms");
  CHECK(duration_text(12.5) == "12.500 s");
}

TEST_CASE("counts are short and digits grouped") {
  CHECK(count_text(6'738'415'616.0) == "6.74 G");
  CHECK(count_text(124e6) == "124 M");
  CHECK(count_text(1.2e12) == "1.20 T");
  CHECK(grouped_digits(999) == "999");
  CHECK(grouped_digits(1234567.4) == "1 234 567");
}

TEST_CASE("a bar never leaves its cells") {
  CHECK(bar(0, 8) == "");
  CHECK(bar(0.5, 8) == "████");
  CHECK(bar(1, 2) == "██");
  CHECK(bar(7, 2) == "██");
  CHECK(bar(-1, 2) == "");
  CHECK(bar(1.0 / 16, 2) == "▏");
}

TEST_CASE("words wrap at the width and keep their order") {
  CHECK(wrapped("one two three", "- ", "  ", 9) == "- one two\n  three\n");
  CHECK(wrapped("unbreakable", "", "", 4) == "unbreakable\n");
  CHECK(wrapped("", "- ", "  ", 9) == "- \n");
}
