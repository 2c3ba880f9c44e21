// What is printed: the outcome in the user's words. Every format writes this one value.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"
#include "sim/report/residuals.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

/// Bytes by category; only categories that occur stand in it, in the order of `Category`.
using Breakdown = std::vector<std::pair<Category, std::int64_t>>;

/// A device's peaks within one stage of the run: "load", "first step", "steady step", "save".
struct DevicePhase {
  std::string phase;
  std::int64_t peak_allocated_bytes = 0;
  std::int64_t peak_reserved_bytes = 0;
  std::int64_t peak_used_bytes = 0;
  std::string peak_at;
  bool operator==(const DevicePhase&) const = default;
};

struct HostPhase {
  std::string phase;
  std::int64_t peak_bytes = 0;
  std::int64_t pinned_bytes = 0;
  bool operator==(const HostPhase&) const = default;
};

struct DeviceReport {
  std::string id;  ///< "gpu0", or "gpu0-gpu511" for a shared entry
  std::int64_t count = 1;
  std::string name;  ///< "A100-SXM4-80GB"
  std::int64_t capacity_bytes = 0;
  std::int64_t peak_allocated_bytes = 0;
  std::int64_t peak_reserved_bytes = 0;
  std::int64_t peak_used_bytes = 0;
  bool fits = true;
  Breakdown at_peak;
  double peak_time_s = 0;
  std::string peak_at;                                        ///< "backward, layer 31"
  std::vector<std::pair<std::string, std::int64_t>> largest;  ///< tensors at the peak, largest first
  std::vector<DevicePhase> phases = {};
};

struct HostReport {
  std::string id;
  std::int64_t count = 1;
  std::int64_t capacity_bytes = 0;
  std::int64_t peak_bytes = 0;
  std::int64_t pinned_bytes = 0;
  Breakdown at_peak;
  bool fits = true;
  std::vector<HostPhase> phases = {};
};

/// One host's drives; read and written in the steady step.
struct StorageReport {
  std::string id;
  std::int64_t capacity_bytes = 0;
  std::int64_t peak_bytes = 0;
  std::int64_t read_bytes = 0;
  std::int64_t written_bytes = 0;
};

/// Of the steady step, on the slowest device; the five parts sum to `time_s` exactly (in picoseconds).
struct StepReport {
  double time_s = 0;
  std::int64_t tokens = 0;
  double tokens_per_s = 0, tokens_per_s_per_gpu = 0;
  double model_flops = 0;   ///< of the whole step, all devices
  double mfu = 0, hfu = 0;  ///< against the peak of the compute type; hfu counts recomputation too
  double compute_s = 0, exposed_communication_s = 0, exposed_transfer_s = 0, optimizer_s = 0, idle_s = 0;
};

/// All steps, each taken as long as the steady one.
struct RunReport {
  std::int64_t steps = 0;
  std::int64_t tokens = 0;
  double hours = 0;
  double gpu_hours = 0;
  double energy_kWh = 0;
  std::optional<double> cost_usd;  ///< absent: nobody knows the price
};

struct LinkReport {
  std::string id;
  std::string kind;  ///< nvlink, pcie, nic, network, memory, nvme
  std::int64_t count = 1;
  double bandwidth_Bps = 0;
  std::int64_t bytes = 0;
  double busy_s = 0;
  double utilization = 0;
};

struct Bottleneck {
  std::string resource;  ///< "compute", "pcie gpu0>sw0", "cpu optimizer", "nvlink ..."
  double share_of_step = 0;
  std::string why;
};

struct ModelReport {
  std::string name;
  std::int64_t parameters = 0;
  std::int64_t trainable_parameters = 0;
  std::int64_t layers = 0;
  double flops_per_token = 0;
};

/// The checkpoint after the last step. `peak_device_bytes` is what nvidia-smi would say.
struct SaveReport {
  std::int64_t peak_device_bytes = 0;
  std::int64_t peak_host_bytes = 0;
  double time_s = 0;
  bool fits = true;
  std::int64_t written_bytes = 0;  ///< by all ranks
};

struct Report {
  Request request;
  std::string topology_name;  ///< what the request's topology came to
  std::string device_name;
  std::int64_t nodes = 1;
  std::int64_t ranks = 1;  ///< data-parallel ranks
  bool fits = true;
  ModelReport model;
  std::vector<DeviceReport> devices;
  std::vector<HostReport> hosts;
  std::vector<StorageReport> storage;
  StepReport step;
  std::vector<LinkReport> links;
  Bottleneck bottleneck;
  std::optional<RunReport> run = {};  ///< absent: the request says no length
  std::optional<SaveReport> save = {};
  double states_bytes_per_parameter =
      0;                   ///< weights, master weights, gradients and optimizer states a parameter, unsharded
  double power_watts = 0;  ///< of the whole machine at work
  Ranges ranges = {};      ///< of measured over predicted, from runs of this kind
  std::vector<std::string> assumptions;
  std::vector<std::string> warnings;
};

/// `amount` as runs of this kind would measure it: {low, high}.
std::optional<std::pair<double, double>> range_of(const Report& report, Ranged quantity, double amount);

/// `tight`: it fits as predicted, but not at the high end of a range.
enum class Fit : std::uint8_t { fits, tight, does_not_fit };
Fit fit_of(const Report& report);

/// The renderers. Text may use colour and the terminal's width; JSON is the contract's section 2.
std::string render_text(const Report& report, bool color);
std::string render_json(const Report& report);
std::string render_csv(const Report& report);
std::string render_markdown(const Report& report);

}  // namespace shardsim
