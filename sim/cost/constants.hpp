// Figures of the cost model that belong to no device. tests/published/fit.md has how far the published runs tell them.
#pragma once

#include "model/core/units.hpp"

namespace shardsim {

/// Host-thread times of the frameworks' hooks. No profile of these is published with its conditions: all are assumed,
/// from the order of magnitude of a Python call with a few torch operations (10 to 100 us), and are to be calibrated.
struct HookTimes {
  Time autograd_node = Time(3'000'000);         ///< 3 us: the C++ engine between two nodes (assumed)
  Time ddp_bucket = Time(20'000'000);           ///< 20 us: launching one bucket's all-reduce (assumed)
  Time zero3_hook = Time(20'000'000);           ///< 20 us: fetch or release of one module (assumed)
  Time zero_gradient_hook = Time(20'000'000);   ///< 20 us: one gradient's copy into its bucket (assumed)
  Time fsdp_unshard = Time(150'000'000);        ///< 150 us: pre-forward of one unit (assumed)
  Time fsdp_reduce = Time(150'000'000);         ///< 150 us: post-backward of one unit (assumed)
  Time bitsandbytes_tensor = Time(50'000'000);  ///< 50 us: the Python of one tensor's update (assumed)
  Time collective = Time(15'000'000);           ///< 15 us: c10d and NCCL enqueue (assumed)
};

struct CostConstants {
  HookTimes hooks;

  /// Steps along k that filling and draining a tile's pipeline cost. With the device's matmul_efficiency, the best of
  /// those tried over tests/published/matmul.csv (first table of fit.md).
  double prologue = 128;
  /// Share of its memory_efficiency, that of large contiguous kernels, that the kernels of a training step reach:
  /// norms, softmaxes and reductions, strided and broadcast reads, tensors of a few MB. Adjusted by hand over
  /// tests/published/measured.csv, 2026-11; single kernels lie between 0.19 (permute) and 0.81 (cross entropy) of the
  /// datasheet's bandwidth on A100 (MooreThreads/SimuMax@4dcaae51).
  double kernel_mix = 0.72;
  /// FlashAttention 1 against 2 on A100: 25 to 40 % of its peak instead of 50 to 73 % (Dao 2023, FlashAttention-2,
  /// abstract); what the ends of the two ranges have in common is 0.50 to 0.55.
  double first_generation_speed = 0.55;
  /// Heads of 64 against 128, causal, on A100. Assumed: read off the bars of Dao-AILab/flash-attention's README, which
  /// give no figures below them.
  double narrow_head_speed = 0.85;

  /// What a step of a ring that crosses nodes takes beyond NCCL's model, whatever the protocol: posting to the NIC and
  /// waiting for the slowest rank. 4.5 us: all-gather and reduce-scatter of 256 MB on 16 to 64 nodes of 8 H100, the
  /// better runs (95th percentile: nanotron ultrascale playbook, fragments/pp_comm_bandwidth.html); 14.5 us: all-gather
  /// of 2 GB on 32 nodes of 8 H100 (NVIDIA/nccl issue 1218). The middle of the two.
  Time network_step = Time(9'000'000);
  /// Share of the ring's bandwidth that a tree over more than two nodes reaches, where NCCL's model says 0.92:
  /// all-reduce of 256 MB on 16 to 64 nodes, the better runs (same plot): 177 to 194 GB/s of 372.
  double network_tree_share = 0.57;

  /// Share of STREAM bandwidth that a CPU Adam reaches: 110 to 127 GB/s of the 28 B a parameter (reads weight, gradient
  /// and both moments, writes all but the gradient) on two Xeon 8168 (measured: Ren et al. 2021, ZeRO-Offload, CPU-Adam
  /// table, 1 to 10 billion parameters), whose STREAM is about 205 GB/s.
  double cpu_optimizer_bandwidth_fraction = 0.58;
  /// Bytes a second that one core moves through a fused CPU optimizer. Assumed: single cores of servers of 2017 to 2023
  /// stream 12 (Xeon) to 25 GB/s (EPYC); an EPYC 9005 took 53 GB/s (measured: tests/oracle/data/cpu_optimizers.json).
  double cpu_core_bandwidth = 15e9;
  /// Share of a pinned copy's speed that a pageable one reaches: the driver stages it through a bounce buffer with one
  /// more pass over DRAM. Assumed: no clean x86 measurement is published.
  double pageable_copy_fraction = 0.4;
};

/// Those in force.
const CostConstants& cost_constants();

/// Puts others in force for its lifetime: to see what a constant does (tests/published/fit.cpp). Nothing may be planned
/// on another thread while one is made or goes.
class TrialConstants {
 public:
  explicit TrialConstants(const CostConstants& constants);
  TrialConstants(const TrialConstants&) = delete;
  TrialConstants& operator=(const TrialConstants&) = delete;
  ~TrialConstants();

 private:
  CostConstants before_;
};

}  // namespace shardsim
