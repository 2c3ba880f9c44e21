// The bytes are those that Python's documentation of pickle, protocol 2, gives for each opcode.
#include <algorithm>

#include "catch.hpp"
#include "sim/report/pickle.hpp"

using namespace shardsim;
using namespace std::string_literals;

namespace {

template <class Write>
std::string pickled(Write write) {
  PickleWriter writer;
  write(writer);
  return std::move(writer).finish();
}

}  // namespace

TEST_CASE("integers take the shortest opcode that holds them") {
  const auto integer = [](std::int64_t value) { return pickled([&](PickleWriter& w) { w.integer(value); }); };
  CHECK(integer(0) == "\x80\x02K\0."s);
  CHECK(integer(255) == "\x80\x02K\xff."s);
  CHECK(integer(256) == "\x80\x02M\0\x01."s);
  CHECK(integer(65536) == "\x80\x02J\0\0\x01\0."s);
  CHECK(integer(-1) == "\x80\x02J\xff\xff\xff\xff."s);
  CHECK(integer(std::int64_t{1} << 40) == "\x80\x02\x8a\x08\0\0\0\0\0\x01\0\0."s);
}

TEST_CASE("other values") {
  CHECK(pickled([](PickleWriter& w) { w.none(); }) == "\x80\x02N."s);
  CHECK(pickled([](PickleWriter& w) { w.boolean(true); }) == "\x80\x02\x88."s);
  CHECK(pickled([](PickleWriter& w) { w.real(1.5); }) == "\x80\x02G\x3f\xf8\0\0\0\0\0\0."s);
  CHECK(pickled([](PickleWriter& w) { w.text("\u00b5"); }) == "\x80\x02X\x02\0\0\0\xc2\xb5."s);
  CHECK(pickled([](PickleWriter& w) { w.pair(1, 2); }) == "\x80\x02K\x01K\x02\x86."s);
}

TEST_CASE("a key is spelled out once") {
  const std::string twice = pickled([](PickleWriter& w) {
    w.list(std::vector{1, 2}, [&](int value) {
      w.dict([&] {
        w.key("a");
        w.integer(value);
      });
    });
  });
  CHECK(twice == "\x80\x02](}(X\x01\0\0\0aq\0K\x01u}(h\0K\x02ue."s);
}

TEST_CASE("long lists are written in batches of a thousand") {
  std::vector<int> items(2001, 7);
  const std::string list = pickled([&](PickleWriter& w) { w.list(items, [&](int value) { w.integer(value); }); });
  CHECK(std::count(list.begin(), list.end(), '(') == 3);
  CHECK(std::count(list.begin(), list.end(), 'e') == 3);
  CHECK(pickled([](PickleWriter& w) { w.list(std::vector<int>{}, [](int) {}); }) == "\x80\x02]."s);
}
