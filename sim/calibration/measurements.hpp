// What a user measured on a machine of their own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/operators.hpp"
#include "sim/cost/collective_time.hpp"
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
/// A copy by a GPU's copy engine while nothing else runs; host memory is pinned. GPUs count from 0.
struct TimedCopy {
  std::optional<std::size_t> from, to;  ///< a GPU; none: the host
  double bytes = 0, seconds = 0;
};
/// A collective over `ranks` GPUs, evenly on `nodes` nodes; `bytes` as collective_cost() takes them.
struct TimedCollective {
  CollectiveKind kind = CollectiveKind::all_reduce;
  std::int64_t ranks = 2, nodes = 1;
  double bytes = 0, seconds = 0;
};

struct Measurements {
  std::string file;    ///< as named by the user
  std::string device;  ///< the known device that it is, or is nearest to; empty: not said
  std::string source;  ///< who measured, with what
  std::optional<std::int64_t> memory_bytes;
  std::optional<double> launch_seconds;
  std::vector<TimedProduct> products;
  std::vector<TimedPass> passes;
  std::vector<TimedStep> steps;
  std::vector<TimedCopy> copies;
  std::vector<TimedCollective> collectives;
};

/// Of one value or more.
double median(std::vector<double> values);

/// Reads what it finds, told apart by what it holds; throws InputError, with the key or line, for what is malformed or
/// unknown.
///  - our own JSON (tests/oracle/measure_device.py writes it):
///      {"device": "A100-SXM4-80GB", "source": "...", "memory_bytes": N, "launch_seconds": S,
///       "matmul": [{"m", "n", "k", "seconds"}], "elementwise": [{"bytes", "seconds"}],
///       "steps": [{"seconds", "options": {"topology": "1xA100", "strategy": "single", ...}}],
///       "copies": [{"from": "host", "to": 0, "bytes", "seconds"}],
///       "collectives": [{"collective": "all_reduce", "ranks", "nodes": 1, "bytes", "seconds"}]}
///    all but `device` may be left out;
///  - nccl-tests' --json file, or what it prints: all_reduce_perf, all_gather_perf, reduce_scatter_perf;
///  - nvbandwidth --json: the copies by copy engine, one at a time.
Measurements read_measurements(const std::filesystem::path& file);

}  // namespace shardsim
