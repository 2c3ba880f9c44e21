// Predictions against measured runs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/simulate.hpp"
#include "sim/validation/measured_runs.hpp"

namespace shardsim {

struct Comparison {
  std::size_t run = 0;  ///< index into MeasuredRuns::runs
  Quantity quantity = Quantity::oom;
  double predicted = 0, measured = 0;
  double error = 0;    ///< predicted / measured - 1; of oom: predicted - measured
  std::string family;  ///< technique_family() of the run
  /// What the prediction is mostly made of, largest first: "logits 11.2 GiB", "compute 3.1 s".
  std::vector<std::string> terms;
};

/// Linear between the closest ranks, as numpy does it. `sorted` is not empty.
double quantile(const std::vector<double>& sorted, double part);

/// Of relative errors. The bias is their mean.
struct ErrorSummary {
  std::int64_t count = 0;
  double median_absolute = 0, p90_absolute = 0, bias = 0, median = 0;
};
ErrorSummary summarize(std::vector<double> errors);

/// Of what ran out of memory or did not.
struct OomSummary {
  std::int64_t ran_out = 0, foreseen = 0;       ///< of those that did
  std::int64_t ran = 0, called_impossible = 0;  ///< of those that did not
};

/// Everything about one group of runs: all of them, one source's, one trust's.
struct GroupSummary {
  std::string name;
  std::int64_t runs = 0, not_expressed = 0;
  std::vector<std::pair<std::string, ErrorSummary>> quantities;  ///< by quantity, then "memory" and "time" over several
  OomSummary oom;
};

struct Validation {
  MeasuredRuns measured;
  std::vector<Comparison> comparisons;                             ///< in the order of the runs
  std::vector<std::pair<std::size_t, std::string>> not_expressed;  ///< run and the reason
  std::int64_t faults = 0;                                         ///< of those, how many are bugs of ours
};

/// Simulates each run, on up to `threads` threads (0: all). A run whose request is refused is counted as not expressed.
Validation validate(MeasuredRuns measured, const DataFolders& data, int threads);

GroupSummary summarize_all(const Validation& validation);
std::vector<GroupSummary> summarize_by_source(const Validation& validation);
std::vector<GroupSummary> summarize_by_trust(const Validation& validation);
/// How measured lies to predicted, by family and over all, of the runs whose trust is not low: what ranges come from.
Residuals residuals_of(const Validation& validation);
/// The table that read_residuals() reads.
std::string render_residuals(const Residuals& residuals);
/// Indices of the comparisons with the largest absolute errors, out-of-memory rows left aside.
std::vector<std::size_t> worst(const Validation& validation, std::size_t count);

/// The renderers. JSON is the contract's section 5.
std::string render_validation_text(const Validation& validation);
std::string render_validation_json(const Validation& validation);
std::string render_validation_csv(const Validation& validation);
std::string render_validation_markdown(const Validation& validation);

}  // namespace shardsim
