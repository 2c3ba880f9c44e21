// The YAML file of a sweep:
//
//   base: {model: llama-2-7b, seq-len: 4096}       # any option of simulate
//   axes:                                           # option -> what it takes, the last varying fastest
//     strategy: [zero2, zero3, zero3-offload]       # a list
//     micro-batch: {from: 1, to: 8}                 # 1, 2, ... 8; step: 2 for every second
//     seq-len: {from: 1k, to: 8k, times: 2}         # 1024, 2048, 4096, 8192
//   where:                                          # points to leave out: all conditions of one rule hold
//     - strategy: [zero2]
//       micro-batch * seq-len: "> 16k"              # <, <=, >, >=, != or a value or a list of values
//   pareto: [memory, tokens-per-s-per-gpu]          # objectives; default: memory and step-time
#pragma once

#include <filesystem>
#include <vector>

#include "sim/search/design_space.hpp"
#include "sim/search/figures.hpp"

namespace shardsim {

struct SweepSpec {
  DesignSpace space;
  std::vector<Objective> pareto;
};

/// Throws InputError with file and line for whatever is malformed, unknown, empty or without an effect.
SweepSpec read_sweep_spec(const std::filesystem::path& file);

}  // namespace shardsim
