// What a GPU, a host processor, a NIC or a drive is: read from topologies/devices/*.yaml, one part a file,
// every figure with its source.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/core/units.hpp"
#include "model/precision.hpp"

namespace shardsim {

enum class Basis : std::uint8_t { datasheet, measured, assumed };

/// A point of a measured efficiency curve: at `work` (log10 of the kernel's FLOPs, or its bytes) the fraction of peak.
struct EfficiencyPoint {
  double log10_work = 0;
  double fraction = 0;
};

/// One GPU. Rates are dense (no sparsity), per device; bandwidths are per direction.
struct GpuSpec {
  std::string name;                              ///< "A100-SXM4-80GB"
  std::string vendor;                            ///< "NVIDIA"
  std::string arch;                              ///< "Ampere"
  Bytes memory;                                  ///< what the framework can see: torch.cuda.mem_get_info total
  Bandwidth memory_bandwidth;                    ///< datasheet
  double memory_efficiency = 0;                  ///< fraction that large elementwise kernels reach
  FlopRate matmul_f32, matmul_16bit, matmul_f8;  ///< tensor-core peaks (f32: TF32 is off by default in PyTorch, so
                                                 ///< plain fp32); zero where the part has none
  bool has_bf16 = true;
  int multiprocessors = 0;       ///< SMs or compute units
  double matmul_efficiency = 0;  ///< fraction of the peak that large products sustain while training
  std::vector<EfficiencyPoint> attention_forward_curve;  ///< by log10(seq), fraction of the peak on executed FLOPs
  std::vector<EfficiencyPoint> attention_backward_curve;
  Time kernel_launch;                  ///< host time to launch one kernel from eager PyTorch
  double collective_slowdown = 0;      ///< share of its speed that a kernel loses while a collective runs beside it
  Time kernel_floor;                   ///< shortest time that a kernel occupies the device
  std::optional<Bandwidth> nvlink;     ///< all links together, per direction
  bool nvlink_switch = false;          ///< the form factor comes on an NVSwitch board
  std::string nvlink_type;             ///< the wire to that switch: a type of links.yaml, "nvlink3x12"
  std::string nvlink_peer_type;        ///< one link straight to another GPU: "nvbridge3"; empty: unknown or none
  bool peer_to_peer_over_pcie = true;  ///< false: stock GeForce drivers, staging through host memory
  int pcie_generation = 4;
  int pcie_lanes = 16;
  Bytes context_memory;    ///< CUDA context and kernels, what nvidia-smi shows beyond the allocator
  Bytes nccl_memory;       ///< of one communicator
  Bytes cublas_workspace;  ///< one per handle and stream, from the caching allocator
  double power_watts = 0;
  std::optional<double> price_usd;  ///< one part, mid of the sourced range
  std::vector<std::string>
      default_systems;  ///< machines that "4x<name>" takes GPUs from, smallest first; none: a PCIe box
};

/// A host processor (one socket).
struct CpuSpec {
  std::string name;
  int cores = 0;
  int numa_nodes = 1;
  Bandwidth memory_bandwidth;                       ///< datasheet, one socket
  double memory_efficiency = 0;                     ///< what STREAM-like kernels reach of it
  double optimizer_parameters_per_core_second = 0;  ///< AdamW operator by operator, as torch has it on a CPU
};

struct NicSpec {
  std::string name;
  Bandwidth bandwidth;  ///< per direction
  double efficiency = 0;
  Time latency;
};

struct DriveSpec {
  std::string name;
  Bytes capacity;
  Bandwidth read, write;  ///< sustained, one drive
};

/// The files under topologies/devices, found by name (case and punctuation ignored; "A100" and other bare names resolve
/// to the SXM 80 GB class part through `aliases` in the files). A call reads the file of the part that it is asked for.
class DeviceCatalog {
 public:
  explicit DeviceCatalog(std::filesystem::path folder);
  /// The part and the canonical name; appends to `assumptions` when a bare name was completed ("A100 is taken as ...").
  /// Throws InputError with the nearest names.
  GpuSpec gpu(std::string_view name, std::string_view where, std::vector<std::string>& assumptions) const;
  CpuSpec cpu(std::string_view name, std::string_view where) const;
  NicSpec nic(std::string_view name, std::string_view where) const;
  DriveSpec drive(std::string_view name, std::string_view where) const;
  std::vector<std::string> gpu_names() const;  ///< sorted
  std::vector<std::string> cpu_names() const;  ///< sorted
  /// The GPU that the PCI bus calls so ("10de:20b0"), from `pci_ids` in the files; empty: no file knows it.
  std::string gpu_of_pci_id(std::string_view id) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace shardsim
