// ZeRO stages 1 and 2 (deepspeed/runtime/zero/stage_1_and_2.py, one class for both; DeepSpeed 0.19.8) under their
// options, with contiguous_gradients on.
//
// Every rank holds the whole model, what is trained of it in one flat buffer a parameter group, and an fp32 master and
// the moments of its own partition. Gradients pass through a bucket that is all-reduced as a whole, on the compute
// stream, and the owned slices are kept: in stage 2 during each backward, in stage 1 after the last one. With
// overlap_comm there are two buckets and a stream for reductions, which run during backward in stage 1 too; a bucket
// waits for the one before it. With offload the owned gradients go to host memory in fp32 during the last backward, and
// the CPU updates.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sim/plan/cpu_optimizer.hpp"
#include "sim/plan/deepspeed.hpp"
#include "sim/plan/optimizer.hpp"
#include "sim/plan/optimizers/zero_muon.hpp"
#include "sim/plan/strategy.hpp"

namespace shardsim {

class Zero12 : public Strategy {
 public:
  explicit Zero12(const StrategyContext& context);

  void initialise() override;
  void begin_forward(std::int64_t micro_step, bool boundary) override;
  void gradient_ready(ParameterId parameter, TensorId gradient) override;
  void end_backward() override;
  void optimizer_step() override;

 private:
  struct Pending {
    ParameterId parameter;
    TensorId gradient;  ///< set for a parameter larger than the bucket, which is reduced where it is
  };

  bool is_checked() const { return sizes_.weight == 2; }
  Pool pinned_pool() const { return pinned_ ? Pool::pinned : Pool::pageable; }

  // Gradients, from autograd to their owners: zero12_reduce.cpp.
  void set_up_buckets();
  void add_to_bucket(ParameterId parameter, TensorId gradient);
  TensorId cloned(TensorId gradient);
  std::vector<OwnerSlice> slices_of_bucket() const;
  void flush();
  void all_reduce_by_owner();
  void reduce_over_ranks(std::int64_t elements);
  void all_reduce(const std::vector<OwnerSlice>& slices, std::int64_t elements);
  void keep_owned(ParameterId p);
  void download(ParameterId p);
  void accumulate_on_host(ParameterId p);

  // The step.
  void check_overflow(std::int64_t elements, StreamId stream = Recorder::compute_stream());
  void read_scalar();
  void write_scalar();
  void check_and_norm();
  void norm(const FlatGroup& group);
  void step_on_device(std::size_t index);
  void release_owned_gradients(std::size_t index);
  void step_on_host(std::size_t index);

  const Request& request_;
  const Architecture& architecture_;
  Recorder& recorder_;
  ZeroSizes sizes_;
  bool stage2_, offload_, pinned_, overlaps_;
  StreamId reduce_;
  std::vector<FlatGroup> groups_;
  std::vector<TensorId> gradients_;            ///< stage 1: held until the boundary, by parameter
  std::vector<std::int64_t> owned_elements_;   ///< by parameter
  std::vector<FlatPlace> places_;              ///< by parameter
  std::int64_t owned_total_ = 0;               ///< full elements of all parameters that touch this rank's partitions
  std::unique_ptr<Optimizer> optimizer_;       ///< on the device
  std::optional<ZeroMuon> muon_;               ///< on the device, for the group that is tagged for it
  std::optional<CpuOptimizer> cpu_optimizer_;  ///< in host memory
  std::array<TensorId, 2> ipg_buffers_;        ///< the second under overlap_comm
  TensorId grads_in_partition_;
  TensorId accumulated_;
  std::vector<Pending> bucket_;
  std::int64_t bucket_elements_ = 0;
  std::vector<bool> accumulates_;           ///< has a buffer in host memory, by parameter
  std::vector<TensorId> reduced_in_place_;  ///< until the epilogue
  TaskId last_download_;
  std::int64_t micro_step_ = 0;
  bool boundary_ = true;
};

}  // namespace shardsim
