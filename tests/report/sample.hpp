// A report made by hand, with round figures: two equal devices on one host.
#pragma once

#include "sim/report/report.hpp"

inline constexpr std::int64_t gibibyte = std::int64_t{1} << 30;

inline shardsim::DeviceReport sample_device(const std::string& id) {
  using shardsim::Category;
  shardsim::DeviceReport device;
  device.id = id;
  device.name = "A100-SXM4-80GB";
  device.capacity_bytes = 80 * gibibyte;
  device.peak_allocated_bytes = 50 * gibibyte;
  device.peak_reserved_bytes = 52 * gibibyte;
  device.peak_used_bytes = 53 * gibibyte;
  device.at_peak = {
      {Category::weights, 6 * gibibyte}, {Category::optimizer, 24 * gibibyte}, {Category::activations, 20 * gibibyte}};
  device.peak_time_s = 1.25;
  device.peak_at = "step 1, backward, layer 31";
  device.largest = {{"logits", 2 * gibibyte}};
  return device;
}

inline shardsim::Report sample_report() {
  using shardsim::Category;
  shardsim::Report report;
  report.request.topology = "2xA100";
  report.request.strategy = "zero2";
  report.request.kind = shardsim::StrategyKind::zero2;
  report.topology_name = "2xA100-SXM4-80GB";
  report.device_name = "A100-SXM4-80GB";
  report.ranks = 2;
  report.model = {"llama-2-7b", 6'738'415'616, 6'738'415'616, 32, 4.6e10};
  report.devices = {sample_device("gpu0"), sample_device("gpu1")};
  shardsim::HostReport host;
  host.id = "host0";
  host.capacity_bytes = 512 * gibibyte;
  host.peak_bytes = 64 * gibibyte;
  host.pinned_bytes = 32 * gibibyte;
  host.at_peak = {{Category::optimizer, 64 * gibibyte}};
  report.hosts = {host};
  report.step = {2.0, 8192, 4096, 2048, 3.7e14, 0.25, 0.5, 1.0, 0.5, 0.25, 0.125, 0.125};
  report.links = {{"gpu0>gpu1", "nvlink", 2, 300e9, 60'000'000'000, 0.25, 0.1}, {"dram0", "memory", 1, 200e9, 0, 0, 0}};
  report.bottleneck = {"compute", 0.5, "matrix products take half of it"};
  report.states_bytes_per_parameter = 16;
  report.assumptions = {"A100 is taken as A100-SXM4-80GB"};
  return report;
}

/// The same with more on the devices than they hold.
inline shardsim::Report sample_misfit() {
  shardsim::Report report = sample_report();
  report.fits = false;
  for (shardsim::DeviceReport& device : report.devices) {
    device.peak_used_bytes = 90 * gibibyte;
    device.fits = false;
  }
  return report;
}
