// Measurements made from known figures give these figures back.
#include "sim/calibration/calibrate.hpp"
#include "calibration/scratch_file.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "model/core/error.hpp"
#include "request/contains.hpp"
#include "sim/cost/kernel_time.hpp"
#include "sim/request/parse_request.hpp"

using namespace shardsim;

namespace {

const DataFolders source = {SHARDSIM_SOURCE "/model/zoo", SHARDSIM_SOURCE "/topologies",
                            SHARDSIM_SOURCE "/tests/published"};

/// The device that the file of measurements comes to, read back as --gpu reads it.
GpuSpec calibrated(const std::string& json) {
  const ScratchFile measured(".json", json);
  const ScratchFile device(".yaml", calibrated_device(read_measurements(measured.path()), source));
  std::vector<std::string> assumptions;
  return DeviceCatalog(source.topologies / "devices").gpu(device.path().string(), "test", assumptions);
}

std::string refusal(const std::string& json) {
  try {
    calibrated(json);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

double step_time(const std::string& gpu) {
  std::vector<std::string> words = {"--topology", "1xA100", "--strategy", "single",
                                    "--model",    "gpt2",   "--seq-len",  "1024"};
  if (!gpu.empty()) words.insert(words.end(), {"--gpu", gpu});
  return simulate(parse_request(words), source).step.time_s;
}

}  // namespace

TEST_CASE("products, passes, launches and memory become the device's figures; the rest is the known device's") {
  Kernel product;
  product.m = product.n = product.k = 8192;
  const double flops = 2 * 8192.0 * 8192 * 8192;
  const double seconds = flops / (312e12 * 0.6 * tile_efficiency(product, 108));
  const GpuSpec device = calibrated(
      R"({"device": "A100-SXM4-80GB", "source": "me", "memory_bytes": 80000000000, "launch_seconds": 7e-6,
          "matmul": [{"m": 8192, "n": 8192, "k": 8192, "seconds": )" +
      std::to_string(seconds * 1e3) + R"(e-3}, {"m": 64, "n": 64, "k": 64, "seconds": 1}],
          "elementwise": [{"bytes": 2039e9, "seconds": 2}]})");
  CHECK(device.matmul_efficiency == Approx(0.6).epsilon(0.001));
  CHECK(device.memory_efficiency == Approx(0.5));
  CHECK(device.kernel_launch.seconds() == Approx(7e-6));
  CHECK(device.memory.value() == 80'000'000'000);
  CHECK(device.matmul_16bit.flops_per_second == 312e12);
  CHECK(device.multiprocessors == 108);
  CHECK(device.nvlink_switch);
}

TEST_CASE("a training log is met") {
  const double slow = 1.3 * step_time("");
  const ScratchFile measured(".json", R"({"device": "A100", "steps": [{"seconds": )" + std::to_string(slow) +
                                          R"(, "options": {"topology": "1xA100", "strategy": "single",
                                              "model": "gpt2", "seq-len": 1024}}]})");
  const ScratchFile device(".yaml", calibrated_device(read_measurements(measured.path()), source));
  CHECK(step_time(device.path().string()) == Approx(slow).epsilon(0.01));
}

TEST_CASE("the script's output is read") {
  const Measurements m = read_measurements(SHARDSIM_SOURCE "/tests/calibration/data/on_cpu.json");
  CHECK(m.device == "A100-SXM4-80GB");
  CHECK(m.products.size() == 2);
  CHECK(m.products.back().kernel.flops == 2.0 * 128 * 64 * 64);
  CHECK(m.passes.front().bytes == 2.0 * 65536 * 2);
  CHECK(m.launch_seconds > 0);
  CHECK(m.copies.size() == 6);
  CHECK(m.copies.front().to == 0U);
  CHECK_FALSE(m.copies.front().from);
  CHECK(m.collectives.size() == 6);
  CHECK(m.collectives.back().kind == CollectiveKind::reduce_scatter);
  CHECK(m.collectives.back().ranks == 2);
  CHECK_FALSE(m.memory_bytes);
}

TEST_CASE("what is no measurement is refused with its key") {
  CHECK_THAT(refusal("[]"), Contains("no JSON object"));
  CHECK_THAT(refusal("{"), Contains("no JSON"));
  CHECK_THAT(refusal("{}"), Contains("no 'device'"));
  CHECK_THAT(refusal(R"({"device": "A100"})"), Contains("nothing was measured"));
  CHECK_THAT(refusal(R"({"nvbandwidth": {"testcases": [{"name": "host_to_device_memcpy_ce", "status": "Passed",
                        "bandwidth_matrix": [["25"]]}]}})"),
             Contains("--topology"));
  CHECK_THAT(refusal(R"({"device": "A10O", "launch_seconds": 1e-6})"), Contains("A10O"));
  CHECK_THAT(refusal(R"({"device": "A100", "lunch_seconds": 1e-6})"), Contains("launch_seconds"));
  CHECK_THAT(refusal(R"({"device": "A100", "launch_seconds": 0})"), Contains("no measurement"));
  CHECK_THAT(refusal(R"({"device": "A100", "matmul": [{"m": 1.5, "n": 1, "k": 1, "seconds": 1}]})"),
             Contains("matmul[0].m"));
  CHECK_THAT(refusal(R"({"device": "A100", "elementwise": [{"bytes": 1e12, "seconds": 1e-3}]})"),
             Contains("elementwise comes out as"));
  CHECK_THAT(refusal(R"({"device": "A100", "launch_seconds": 1e-12})"), Contains("a launch of 1e-12 s"));
  for (const char* seconds : {"1e-4", "9e5"}) {
    CHECK_THAT(refusal(R"({"device": "A100", "steps": [{"seconds": )" + std::string(seconds) +
                       R"(, "options": {"topology": "1xA100", "strategy": "single", "model": "gpt2"}}]})"),
               Contains("the steps take"));
  }
}
