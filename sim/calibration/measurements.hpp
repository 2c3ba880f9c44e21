// What a user measured on a machine of their own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/operators.hpp"
#include "sim/request/option_text.hpp"

namespace shardsim {

/// A product of 16-bit matrices, timed.
struct TimedProduct {
  Kernel kernel;
  double seconds = 0;
};
/// A kernel that reads and writes `bytes` in all, timed.
struct TimedPass {
  double bytes = 0, seconds = 0;
};
/// A training run: simulate's options, and one optimizer step.
struct TimedStep {
  OptionTexts options;
  double seconds = 0;
};

struct Measurements {
  std::string file;    ///< as named by the user
  std::string device;  ///< the known device that it is, or is nearest to
  std::string source;  ///< who measured, with what
  std::optional<std::int64_t> memory_bytes;
  std::optional<double> launch_seconds;
  std::vector<TimedProduct> products;
  std::vector<TimedPass> passes;
  std::vector<TimedStep> steps;
};

/// Reads JSON:
///   {"device": "A100-SXM4-80GB", "source": "...", "memory_bytes": N, "launch_seconds": S,
///    "matmul": [{"m", "n", "k", "seconds"}], "elementwise": [{"bytes", "seconds"}],
///    "steps": [{"seconds", "options": {"topology": "1xA100", "strategy": "single", ...}}]}
/// All but `device` may be left out. Throws InputError, with the key, for what is malformed or unknown.
Measurements read_measurements(const std::filesystem::path& file);

}  // namespace shardsim
