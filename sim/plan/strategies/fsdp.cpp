#include "sim/plan/strategies/fsdp.hpp"

#include <algorithm>
#include <utility>

#include "sim/cost/host_time.hpp"
#include "sim/plan/fsdp_units.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {

Fsdp::Fsdp(const StrategyContext& context)
    : request_(context.request),
      architecture_(context.architecture),
      recorder_(context.recorder),
      original_(keeps_master_weights(context.request.precision) ? DType::f32 : weight_type(context.request.precision)),
      compute_(gradient_type(context.request.precision)),
      reduce_(*context.request.reduce_dtype),
      offload_(context.request.offload.any()) {}

void Fsdp::allocate_replicated() {
  for (const Parameter& parameter : architecture_.parameters) {
    if (!parameter.quantization) continue;
    if (is_sharded(parameter)) {
      recorder_.allocate(Category::weights, parameter.quantized().statistics, "quantization statistics");
    } else {
      allocate_weight(recorder_, parameter, compute_);
    }
  }
}

void Fsdp::make_optimizers(const StrategyContext& context, std::vector<OptimizedTensor> shards) {
  for (const OptimizedTensor& shard : shards) optimized_elements_ += shard.numel();
  if (offload_) {
    cpu_optimizer_.emplace(recorder_, request_, std::move(shards));
  } else {
    optimizer_ = make_optimizer(context, std::move(shards));
  }
}

void Fsdp::update() {
  if (offload_) {
    cpu_optimizer_->step(cpu_unscale_bytes);
    return;
  }
  clip_gradients(recorder_, static_cast<double>(optimized_elements_ * size_of(original_)), true);
  optimizer_->step();
}

void Fsdp::reduce_over_replicas(std::int64_t bytes, StreamId stream) {
  if (recorder_.replicas() == 1) return;
  recorder_.wait_stream(post_reduce_, stream);
  recorder_.collective(CollectiveKind::all_reduce, static_cast<double>(bytes), "all-reduce", post_reduce_,
                       Group::replicate);
}

std::optional<std::size_t> Fsdp::unit_before(std::size_t unit) const {
  const auto here = std::find(forward_order_.begin(), forward_order_.end(), unit);
  if (here == forward_order_.begin() || here == forward_order_.end()) return {};
  return *(here - 1);
}

}  // namespace shardsim
