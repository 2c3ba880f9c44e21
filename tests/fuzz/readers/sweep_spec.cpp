// The YAML of a sweep, up to its first points.
#include "fuzz/reader.hpp"
#include "sim/search/spec.hpp"

namespace shardsim::fuzz {

namespace {

void read(const Input& input) {
  const SweepSpec spec = read_sweep_spec(input.file);
  const std::uint64_t points = spec.space.points();
  for (const std::uint64_t index : {std::uint64_t{0}, points / 2, points - 1})
    spec.space.skips(spec.space.texts_at(index));
}

}  // namespace

const Added sweep_spec({.name = "sweep_spec",
                        .file_name = "spec.yaml",
                        .seeds = {"examples/*.yaml"},
                        .read = read,
                        .own_seeds = {
                            "base: {model: gpt2}\naxes:\n  micro-batch: {from: 1, to: 8}\n  seq-len: {from: 1k, to: "
                            "8k, times: 2}\nwhere:\n  - micro-batch * seq-len: \"> 16k\"\npareto: [memory]\n"}});

}  // namespace shardsim::fuzz
