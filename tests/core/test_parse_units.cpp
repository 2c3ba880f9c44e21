// Exact where the type is exact, and a clear refusal for everything that no person means.
#include <clocale>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include "catch.hpp"
#include "model/core/error.hpp"
#include "model/core/parse_units.hpp"

using namespace shardsim;

namespace {

constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();

/// The message of the refusal; fails the test when there is none.
std::string refusal(const std::function<void()>& parse) {
  try {
    parse();
  } catch (const InputError& error) {
    return error.what();
  }
  FAIL("nothing was refused");
  return {};
}

}  // namespace

TEST_CASE("bytes are exact, in powers of ten and of two") {
  CHECK(parse_bytes("512 B", "x").value() == 512);
  CHECK(parse_bytes("80 GiB", "x").value() == 80LL << 30);
  CHECK(parse_bytes("80GB", "x").value() == 80'000'000'000);
  CHECK(parse_bytes("  1.5 GiB\t", "x").value() == 3LL << 29);
  CHECK(parse_bytes("1 kB", "x").value() == 1000);
  CHECK(parse_bytes("1 KiB", "x").value() == 1024);
  CHECK(parse_bytes("2e3 MB", "x").value() == 2'000'000'000);
  CHECK(parse_bytes("3.84 TB", "x").value() == 3'840'000'000'000);
  CHECK(parse_bytes("1 PiB", "x").value() == 1LL << 50);
  CHECK(parse_bytes("0 GiB", "x").value() == 0);
}

TEST_CASE("bytes beyond the precision of a double are exact, fractions go to the nearest byte") {
  CHECK(parse_bytes("9007199254740993 B", "x").value() == 9007199254740993);
  CHECK(parse_bytes("9223372036854775807 B", "x").value() == largest);
  CHECK(parse_bytes("0.3 GiB", "x").value() == 322122547);  // 322122547.2
  CHECK(parse_bytes("0.5 B", "x").value() == 1);
  CHECK(parse_bytes("0.49 B", "x").value() == 0);
  CHECK(parse_bytes("1e-400 GiB", "x").value() == 0);
}

TEST_CASE("times are exact and round up") {
  CHECK(parse_time("1.2 us", "x").picoseconds() == 1'200'000);
  CHECK(parse_time("5ns", "x").picoseconds() == 5'000);
  CHECK(parse_time("0.1 ms", "x").picoseconds() == 100'000'000);
  CHECK(parse_time("3 s", "x").picoseconds() == 3'000'000'000'000);
  CHECK(parse_time("0.0001 ns", "x").picoseconds() == 1);
  CHECK(parse_time("1e-400 s", "x").picoseconds() == 1);
  CHECK(parse_time("0 s", "x").picoseconds() == 0);
  CHECK_THROWS_AS(parse_time("9.3e6 s", "x"), InputError);  // 107 days
  CHECK_THROWS_AS(parse_time("1 min", "x"), InputError);
}

TEST_CASE("bandwidths tell bytes from bits") {
  CHECK(parse_bandwidth("450 GB/s", "x").bytes_per_second == 450e9);
  CHECK(parse_bandwidth("400 Gb/s", "x").bytes_per_second == 50e9);
  CHECK(parse_bandwidth("400Gbps", "x").bytes_per_second == 50e9);
  CHECK(parse_bandwidth("600 GiB/s", "x").bytes_per_second == 600.0 * 1073741824.0);
  CHECK(parse_bandwidth("2.039 TB/s", "x").bytes_per_second == Approx(2.039e12).epsilon(1e-15));
  CHECK_THROWS_AS(parse_bandwidth("450 GB", "x"), InputError);
  CHECK_THROWS_AS(parse_bandwidth("450 gb/s", "x"), InputError);
  CHECK_THROWS_AS(parse_bandwidth("16 GT/s", "x"), InputError);
  CHECK_THROWS_AS(parse_bandwidth("1e300 PB/s", "x"), InputError);
}

TEST_CASE("rates of operations") {
  CHECK(parse_flop_rate("312 TFLOPS", "x").flops_per_second == 312e12);
  CHECK(parse_flop_rate("1.2 PFLOP/s", "x").flops_per_second == Approx(1.2e15).epsilon(1e-15));
  CHECK(parse_flop_rate("500 GFLOPS", "x").flops_per_second == 500e9);
  CHECK_THROWS_AS(parse_flop_rate("312", "x"), InputError);
  CHECK_THROWS_AS(parse_flop_rate("312 TOPS", "x"), InputError);
  CHECK_THROWS_AS(parse_flop_rate("1 TiFLOPS", "x"), InputError);
}

TEST_CASE("counts come out whole") {
  CHECK(parse_count("4096", "x") == 4096);
  CHECK(parse_count("1.5e9", "x") == 1'500'000'000);
  CHECK(parse_count("1.001M", "x") == 1'001'000);  // not whole in binary floating point
  CHECK(parse_count("300M", "x") == 300'000'000);
  CHECK(parse_count("1 B", "x") == 1'000'000'000);
  CHECK(parse_count("2T", "x") == 2'000'000'000'000);
  CHECK(parse_count("4k", "x") == 4000);
  CHECK(parse_count("1200e-2", "x") == 12);
  CHECK(parse_count("000000000000000000000000000007.000", "x") == 7);
  CHECK(parse_count("9223372036854775807", "x") == largest);
  CHECK_THROWS_AS(parse_count("9223372036854775808", "x"), InputError);
  CHECK_THROWS_AS(parse_count("1e19", "x"), InputError);
  CHECK_THROWS_AS(parse_count("1e999999999999999999999", "x"), InputError);
  CHECK_THROWS_AS(parse_count("1.5", "x"), InputError);
  CHECK_THROWS_AS(parse_count("1e-999999999999999999999", "x"), InputError);
  CHECK_THROWS_AS(parse_count("1.00000000000000000000001", "x"), InputError);
  CHECK_THROWS_AS(parse_count("4096 tokens", "x"), InputError);
}

TEST_CASE("a length of 4k is 4096") {
  CHECK(parse_length("4096", "x") == 4096);
  CHECK(parse_length("4k", "x") == 4096);
  CHECK(parse_length("128K", "x") == 131072);
  CHECK(parse_length("1M", "x") == 1'000'000);
}

TEST_CASE("what is malformed is refused by every parser") {
  const std::string text =
      GENERATE(as<std::string>{}, "", "   ", "-1", "-0 GiB", "+1", "nan", "inf", "infinity", "NaN GiB", "GiB", "0x10",
               "1,5", "1 5", "1.2.3", ".", "e5", ".e5 B", "1e+", "--1", "1 GiB x", "80 GiB\n80", "\xff\xfe", "80 gib");
  CAPTURE(text);
  CHECK_THROWS_AS(parse_bytes(text, "x"), InputError);
  CHECK_THROWS_AS(parse_bandwidth(text, "x"), InputError);
  CHECK_THROWS_AS(parse_time(text, "x"), InputError);
  CHECK_THROWS_AS(parse_flop_rate(text, "x"), InputError);
  CHECK_THROWS_AS(parse_count(text, "x"), InputError);
  CHECK_THROWS_AS(parse_length(text, "x"), InputError);
}

TEST_CASE("a refusal says what, where and what would be right, on one line") {
  CHECK(refusal([] { parse_bytes("80", "--host-memory"); }) ==
        "'80' lacks a unit (--host-memory); expected a size such as \"80 GiB\" or \"64 GB\"");
  CHECK(refusal([] { parse_bytes("80 gb", "--host-memory"); }) ==
        "'80 gb' ends in 'gb', which is no unit of memory (--host-memory); expected a size such as \"80 GiB\" or \"64 "
        "GB\"");
  CHECK(refusal([] { parse_count("-3", "micro-batch"); }).find("'-3' is negative (micro-batch)") == 0);
  CHECK(refusal([] { parse_time("1 s\ns", "x"); }).find('\n') == std::string::npos);
  CHECK(refusal([] { parse_count(std::string(100'000, '9'), "x"); }).size() < 300);
}

TEST_CASE("the locale's decimal comma changes nothing") {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  const bool comma = std::setlocale(LC_ALL, "de_DE.UTF-8") != nullptr;
  CAPTURE(comma);  // a machine without that locale repeats the "C" answers
  CHECK(parse_bandwidth("2.5 GB/s", "x").bytes_per_second == 2.5e9);
  CHECK(parse_bytes("1.5 KiB", "x").value() == 1536);
  std::setlocale(LC_ALL, before.c_str());
}
