#include "sim/calibration/calibrate.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "model/core/error.hpp"
#include "sim/cost/kernel_time.hpp"
#include "sim/request/parse_request.hpp"

namespace shardsim {

namespace {

/// Rounds of scaling until the median step is met; each one's error is a small part of the one before.
constexpr int rounds = 6;
/// What may remain of it then; more is another device, or another run.
constexpr double most_remaining = 0.02;

/// The figures that change; the rest stays with the device.
struct Figures {
  std::optional<double> matmul_efficiency, memory_efficiency;
};

double matmul_efficiency(const std::vector<TimedProduct>& products, const GpuSpec& device) {
  double largest = 0;
  for (const TimedProduct& product : products) largest = std::max(largest, product.kernel.flops);
  std::vector<double> found;
  for (const auto& [kernel, seconds] : products) {
    if (kernel.flops < largest / 10) continue;
    const double rate = kernel.flops / seconds / device.matmul_16bit.flops_per_second;
    found.push_back(rate / tile_efficiency(kernel, device.multiprocessors));
  }
  return median(std::move(found));
}

double memory_efficiency(const std::vector<TimedPass>& passes, const GpuSpec& device) {
  double largest = 0;
  for (const TimedPass& pass : passes) largest = std::max(largest, pass.bytes);
  std::vector<double> found;
  for (const auto& [bytes, seconds] : passes) {
    if (bytes >= largest / 10) found.push_back(bytes / seconds / device.memory_bandwidth.bytes_per_second);
  }
  return median(std::move(found));
}

void check_fraction(double value, const char* figure, const Measurements& m) {
  if (value > 0.01 && value <= 1) return;
  throw InputError(fmt::format("{} comes out as {:.3g} of what {} can do", figure, value, m.device), m.file,
                   "times in seconds, and the right device");
}

std::string device_file(const Measurements& m, const GpuSpec& device, const Figures& figures) {
  std::string quoted;
  for (const char c : m.source) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  std::string text =
      fmt::format("# Written by shardsim calibrate; what is not here is taken from {}.\nkind: gpu\nlike: {}\n",
                  device.name, device.name);
  const auto figure = [&](const char* name, const std::string& value) {
    text += fmt::format("{}: {{value: {}, basis: measured, source: \"{}\"}}\n", name, value, quoted);
  };
  if (m.memory_bytes) figure("memory", fmt::format("{} B", *m.memory_bytes));
  if (figures.matmul_efficiency) figure("matmul_efficiency", fmt::format("{:.4f}", *figures.matmul_efficiency));
  if (figures.memory_efficiency) figure("memory_efficiency", fmt::format("{:.4f}", *figures.memory_efficiency));
  if (m.launch_seconds) figure("kernel_launch", fmt::format("{:.2f} us", *m.launch_seconds * 1e6));
  return text;
}

/// A file for --gpu that is gone with the object.
class DeviceFile {
 public:
  explicit DeviceFile(const std::string& text)
      : path_(std::filesystem::temp_directory_path() / fmt::format("shardsim-calibrate-{}.yaml", ::getpid())) {
    std::ofstream(path_) << text;
  }
  DeviceFile(const DeviceFile&) = delete;
  DeviceFile& operator=(const DeviceFile&) = delete;
  ~DeviceFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// Median of measured over predicted step times.
double remaining(const Measurements& m, const std::string& device, const DataFolders& data) {
  const DeviceFile file(device);
  std::vector<double> ratios;
  for (const TimedStep& step : m.steps) {
    OptionTexts options = step.options;
    options["gpu"] = {file.path(), "calibrate"};
    ratios.push_back(step.seconds / simulate(resolve_request(std::move(options)), data).step.time_s);
  }
  return median(std::move(ratios));
}

}  // namespace

std::string calibrated_device(const Measurements& m, const DataFolders& data) {
  if (m.device.empty()) {
    throw InputError("it measures links, not a device", m.file,
                     "--topology with the machine that was measured, for a machine file");
  }
  std::vector<std::string> assumptions;
  const GpuSpec device = DeviceCatalog(data.topologies / "devices").gpu(m.device, m.file + ": device", assumptions);
  if (m.products.empty() && m.passes.empty() && m.steps.empty() && !m.launch_seconds && !m.memory_bytes) {
    throw InputError("nothing was measured", m.file, "matmul, elementwise, launch_seconds, memory_bytes or steps");
  }
  if (m.launch_seconds && !(*m.launch_seconds >= 1e-8 && *m.launch_seconds < 1)) {
    throw InputError(fmt::format("a launch of {:.3g} s", *m.launch_seconds), m.file + ": launch_seconds",
                     "seconds of the host for one small operation, such as 8e-6");
  }
  Figures figures;
  if (!m.products.empty()) figures.matmul_efficiency = matmul_efficiency(m.products, device);
  if (!m.passes.empty()) figures.memory_efficiency = memory_efficiency(m.passes, device);
  if (figures.matmul_efficiency) check_fraction(*figures.matmul_efficiency, "matmul", m);
  if (figures.memory_efficiency) check_fraction(*figures.memory_efficiency, "elementwise", m);
  if (!m.steps.empty()) {
    double matmul = figures.matmul_efficiency.value_or(device.matmul_efficiency);
    double memory = figures.memory_efficiency.value_or(device.memory_efficiency);
    double slower = 1;
    for (int round = 0; round <= rounds; ++round) {
      figures = {matmul, memory};
      slower = remaining(m, device_file(m, device, figures), data);
      if (std::abs(slower - 1) < 1e-3) break;
      matmul = std::clamp(matmul / slower, 0.02, 1.0);
      memory = std::clamp(memory / slower, 0.02, 1.0);
    }
    if (std::abs(slower - 1) > most_remaining) {
      throw InputError(
          fmt::format("the steps take {:.3g} times what any efficiency of {} makes of them", slower, m.device),
          m.file + ": steps", "seconds of one optimizer step, with the options that it ran with");
    }
  }
  return device_file(m, device, figures);
}

}  // namespace shardsim
