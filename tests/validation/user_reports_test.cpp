// What people have reported in issues, and how far from it we are: printed, not judged. Only that each can be asked is.
#include <fmt/format.h>

#include <iostream>

#include "catch.hpp"
#include "sim/validation/validation.hpp"

using namespace shardsim;

namespace {

const DataFolders source = {SHARDSIM_SOURCE "/model/zoo", SHARDSIM_SOURCE "/topologies",
                            SHARDSIM_SOURCE "/tests/published"};

void print(const Validation& validation) {
  for (const Comparison& comparison : validation.comparisons) {
    const MeasuredRun& run = validation.measured.runs[comparison.run];
    std::cout << fmt::format("{:<6} {:<16} predicted {:<12.4g} measured {:<12.4g} {:+.1f} %\n", run.id,
                             name_of(comparison.quantity), comparison.predicted, comparison.measured,
                             100 * comparison.error);
  }
}

}  // namespace

TEST_CASE("Users' reports beside our predictions") {
  MeasuredRuns reports = read_measured_runs(source.published / "user_reports.csv");
  // Those that measured.csv holds already.
  for (const MeasuredRun& run : read_measured_runs(source.published / "measured.csv").runs) {
    if (run.id.starts_with("T4-") || run.id.starts_with("T12-")) reports.runs.push_back(run);
  }
  const Validation validation = validate(reports, source, 1);
  CHECK(validation.not_expressed.empty());
  CHECK(validation.faults == 0);
  CHECK(validation.comparisons.size() >= 20);
  print(validation);
}
