// Whatever the bytes, only an InputError may escape the readers of numbers and names.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/core/error.hpp"
#include "model/core/parse_units.hpp"
#include "model/core/suggest.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

template <class Parse>
void attempt(Parse parse, std::string_view text) {
  try {
    parse(text, "fuzz");
  } catch (const shardsim::InputError&) {
    return;
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  attempt(shardsim::parse_bytes, text);
  attempt(shardsim::parse_bandwidth, text);
  attempt(shardsim::parse_time, text);
  attempt(shardsim::parse_flop_rate, text);
  attempt(shardsim::parse_count, text);
  attempt(shardsim::parse_length, text);
  const std::vector<std::string> known = {"A100-SXM4-80GB", "H100-SXM5-80GB", "RTX-4090"};
  shardsim::nearest_names(text, known);
  return 0;
}
