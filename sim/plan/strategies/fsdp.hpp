// What FSDP1 and FSDP2 share: the types of shards, gathered parameters and reduced gradients, the order of units, and
// the optimizer over shards.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sim/plan/cpu_optimizer.hpp"
#include "sim/plan/optimizer.hpp"
#include "sim/plan/strategy.hpp"

namespace shardsim {

class Fsdp : public Strategy {
 public:
  /// The pre-backward hook hangs on the wrapped module's output, outside of what is recomputed.
  bool hooks_precede_recomputation() const override { return true; }
  void begin_backward() override { in_backward_ = true; }

 protected:
  explicit Fsdp(const StrategyContext& context);

  /// What each rank holds whole: the scales of quantized weights, which hang on them as plain tensors.
  void allocate_replicated();
  /// In host memory where states are offloaded.
  void make_optimizers(const StrategyContext& context, std::vector<OptimizedTensor> shards);
  /// Clips the gradients, but on the device alone, and updates.
  void update();
  /// Hybrid sharding: sums a shard's gradient once more, after `stream`'s last task.
  void reduce_over_replicas(std::int64_t bytes, StreamId stream);
  /// The unit whose forward ended before this one's did.
  std::optional<std::size_t> unit_before(std::size_t unit) const;

  const Request& request_;
  const Architecture& architecture_;
  Recorder& recorder_;
  DType original_;  ///< of trained shards: fp32 under mixed precision
  DType compute_;   ///< of gathered parameters and their gradients
  DType reduce_;    ///< of the gradients that are reduced
  bool offload_;
  StreamId post_reduce_;  ///< what follows the last collective of a reduction; set by whoever names the streams
  std::vector<std::size_t> forward_order_;  ///< of post-forward hooks in this micro-step
  bool in_backward_ = false;

 private:
  std::unique_ptr<Optimizer> optimizer_;       ///< on the device
  std::optional<CpuOptimizer> cpu_optimizer_;  ///< in host memory
  std::int64_t optimized_elements_ = 0;
};

}  // namespace shardsim
