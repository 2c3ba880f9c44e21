// Numbers with units, and names nearly right.
#include "fuzz/reader.hpp"
#include "model/core/error.hpp"
#include "model/core/parse_units.hpp"
#include "model/core/suggest.hpp"

namespace shardsim::fuzz {

namespace {

template <class Parse>
void attempt(Parse parse, std::string_view text) {
  try {
    parse(text, "fuzz");
  } catch (const InputError&) {
    return;
  }
}

void read(const Input& input) {
  attempt(parse_bytes, input.text);
  attempt(parse_bandwidth, input.text);
  attempt(parse_time, input.text);
  attempt(parse_flop_rate, input.text);
  attempt(parse_count, input.text);
  attempt(parse_length, input.text);
  static const std::vector<std::string> known = {"A100-SXM4-80GB", "H100-SXM5-80GB", "RTX-4090"};
  nearest_names(input.text, known);
}

}  // namespace

const Added units({.name = "units",
                   .file_name = "unused",
                   .seeds = {},
                   .read = read,
                   .own_seeds = {"80 GiB", "450 GB/s", "400 Gb/s", "1.2 us", "312 TFLOPS", "4k", "5e8", "1.5e9",
                                 "RTX 4090"}});

}  // namespace shardsim::fuzz
