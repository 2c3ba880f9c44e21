// Ranges of predictions, and the verdict that follows from them.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "model/core/error.hpp"
#include "sim/report/report.hpp"

using namespace shardsim;

namespace {

Residuals residuals_in(const std::string& rows) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("shardsim-residuals-" + std::to_string(::getpid()) + ".csv");
  std::ofstream(path) << "family,quantity,count,low,high\n" << rows;
  Residuals residuals;
  try {
    residuals = read_residuals(path);
  } catch (...) {
    std::filesystem::remove(path);
    throw;
  }
  std::filesystem::remove(path);
  return residuals;
}

Request request_of(StrategyKind kind, PeftKind peft) {
  Request request;
  request.kind = kind;
  request.peft.kind = peft;
  return request;
}

Report one_device(std::int64_t used, std::int64_t capacity) {
  Report report;
  DeviceReport device;
  device.peak_used_bytes = used;
  device.capacity_bytes = capacity;
  device.fits = used <= capacity;
  report.fits = device.fits;
  report.devices.push_back(device);
  return report;
}

}  // namespace

TEST_CASE("a prediction's range is that of its own kind, else that of all runs") {
  const Residuals residuals = residuals_in(
      "all,used_bytes,300,0.9,1.2\nall,time,300,0.8,1.3\nfsdp-adapters,used_bytes,20,1,1.4\nzero-full,time,3,0.5,2\n");
  const Ranges own = ranges_of(residuals, request_of(StrategyKind::fsdp1, PeftKind::lora));
  CHECK(own[static_cast<std::size_t>(Ranged::used_bytes)]->high == 1.4);
  CHECK(own[static_cast<std::size_t>(Ranged::time)]->high == 1.3);
  CHECK_FALSE(own[static_cast<std::size_t>(Ranged::host_bytes)]);
  const Ranges few = ranges_of(residuals, request_of(StrategyKind::zero3, PeftKind::none));
  CHECK(few[static_cast<std::size_t>(Ranged::time)]->high == 1.3);
  CHECK(technique_family(request_of(StrategyKind::ddp, PeftKind::none)) == "whole-full");
}

TEST_CASE("what is no table of residuals is refused") {
  CHECK_THROWS_AS(residuals_in("all,used_bytes,300,0.9\n"), InputError);
  CHECK_THROWS_AS(residuals_in("all,used_bites,300,0.9,1\n"), InputError);
  CHECK_THROWS_AS(residuals_in("all,used_bytes,300,1.1,1\n"), InputError);
  CHECK_THROWS_AS(residuals_in("all,used_bytes,0,0.9,1\n"), InputError);
  CHECK(read_residuals("/nowhere/residuals.csv").empty());
}

TEST_CASE("tight is what fits as predicted and not at the end of its range") {
  Report report = one_device(70, 80);
  CHECK(fit_of(report) == Fit::fits);
  report.ranges[static_cast<std::size_t>(Ranged::used_bytes)] = ErrorRange{0.9, 1.2};
  CHECK(fit_of(report) == Fit::tight);
  CHECK(range_of(report, Ranged::used_bytes, 70)->second == Approx(84));
  CHECK_FALSE(range_of(report, Ranged::time, 70));
  report.ranges[static_cast<std::size_t>(Ranged::used_bytes)] = ErrorRange{0.9, 1.1};
  CHECK(fit_of(report) == Fit::fits);
  CHECK(fit_of(one_device(90, 80)) == Fit::does_not_fit);
}
