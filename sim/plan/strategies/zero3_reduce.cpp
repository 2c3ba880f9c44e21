// ZeRO-3: gradients on their way to the partitions.
#include <algorithm>
#include <utility>

#include "sim/cost/constants.hpp"
#include "sim/plan/strategies/strategies.hpp"
#include "sim/plan/strategies/zero3.hpp"

namespace shardsim {
namespace {

constexpr std::size_t max_reduce_events = 2;
constexpr std::int64_t norm_chunk = 250'000'000;  ///< elements, of _constant_buffered_norm2

}  // namespace

void Zero3::add_to_bucket(ParameterId parameter, TensorId gradient) {
  const std::int64_t numel = architecture_.parameter(parameter).numel;
  recorder_.spend(cost_constants().hooks.zero_gradient_hook);
  if (bucket_elements_ > 0 && bucket_elements_ + numel > request_.zero.reduce_bucket_size) flush();
  recorder_.wait_stream(reduce_, Recorder::compute_stream());
  if (bucket_elements_ + numel <= request_.zero.reduce_bucket_size) {
    recorder_.elementwise(2.0 * static_cast<double>(numel * sizes_.weight), "copy to bucket", reduce_);
    recorder_.record_stream(gradient, reduce_);
    recorder_.reset(gradient);
  }
  bucket_.push_back({parameter, gradient});
  bucket_elements_ += numel;
}

// reduce_leaf_module_grads
void Zero3::reduce_leaf(ModuleId module) {
  if (!coordinator_.has_hooks(module)) return;
  for (const ParameterId p : coordinator_.parameters_of(module)) {
    const TensorId gradient = std::exchange(states_[p.index()].gradient, TensorId{});
    if (gradient.valid()) add_to_bucket(p, gradient);
  }
}

// __reduce_and_partition_ipg_grads: an interleaved copy (none for a single divisible tensor), reduce-scatter,
// partition. One rank alone copies and divides all the same.
void Zero3::flush() {
  if (bucket_.empty()) return;
  while (reduce_events_.size() > max_reduce_events) {
    recorder_.synchronize(reduce_events_.front());
    reduce_events_.pop_front();
  }
  recorder_.wait_stream(reduce_, Recorder::compute_stream());
  TensorId interleaved = reduce_bucket();
  for (const Pending& pending : bucket_) partition_gradient(pending.parameter);
  for (const auto& [parameter, cast] : leaving_) {
    optimizer_swap_->write_gradient(partition_of(parameter), cast, reduce_);
  }
  leaving_.clear();
  recorder_.reset(interleaved);
  for (Pending& pending : bucket_) {
    if (pending.gradient.valid()) recorder_.record_stream(pending.gradient, reduce_);
    recorder_.reset(pending.gradient);
  }
  reduce_events_.push_back(recorder_.record(reduce_));
  bucket_.clear();
  bucket_elements_ = 0;
}

// __avg_scatter_grads, in communication_data_type; without reduce_scatter what is in the bucket is all-reduced there
// (__avg_scatter_contiguous_grads). Returns what the reduced slices are part of; unset: the bucket itself.
TensorId Zero3::reduce_bucket() {
  std::int64_t elements = 0;
  for (const Pending& pending : bucket_) elements += partition_of(pending.parameter) * recorder_.world();
  const std::int64_t bytes = elements * size_of(*request_.reduce_dtype);
  const bool scatters = request_.zero.reduce_scatter || bucket_elements_ > request_.zero.reduce_bucket_size;
  const bool divisible = architecture_.parameter(bucket_.front().parameter).numel % recorder_.world() == 0;
  TensorId cast;
  TensorId interleaved;
  if (*request_.reduce_dtype != gradient_type(request_.precision)) {
    cast = recorder_.allocate(Category::buffers, bytes, "gradients in communication type", reduce_);
    recorder_.elementwise(static_cast<double>(bytes + elements * sizes_.weight), "cast gradients", reduce_);
  }
  if (scatters && (bucket_.size() > 1 || !divisible)) {
    interleaved = recorder_.allocate(Category::buffers, bytes, "reduce-scatter input", reduce_);
    recorder_.elementwise(2.0 * static_cast<double>(bytes), "interleave", reduce_);
  }
  recorder_.elementwise(2.0 * static_cast<double>(bytes), "pre-divide", reduce_);
  if (scatters) {
    recorder_.collective(CollectiveKind::reduce_scatter, static_cast<double>(bytes), "reduce-scatter", reduce_);
  } else {
    recorder_.collective(CollectiveKind::all_reduce, static_cast<double>(bytes), "all-reduce gradients", reduce_);
  }
  recorder_.reset(cast);
  return interleaved;
}

// partition_grads. In host memory: the reduced slice goes down, comes back up for its norm and its cast (or to be
// added to), and at the boundary goes down again in fp32.
void Zero3::partition_gradient(ParameterId p) {
  const std::int64_t elements = partition_of(p);
  const std::int64_t bytes = elements * sizes_.weight;
  const bool first = micro_step_ == 0;
  if (!request_.offload.optimizer) {
    recorder_.elementwise((first ? 2.0 : 3.0) * static_cast<double>(bytes), "partition grad", reduce_);
    return;
  }
  const auto copy = [&](Direction direction, std::int64_t amount, const char* label) {
    recorder_.copy(direction, static_cast<double>(amount), pinned_, label, reduce_);
  };
  if (first) copy(Direction::to_host, bytes, "download grad");
  const TensorId on_device = recorder_.allocate(Category::buffers, bytes, "grad partition", reduce_);
  copy(Direction::to_device, bytes, "upload grad");
  if (!first) {
    recorder_.elementwise(3.0 * static_cast<double>(bytes), "accumulate grad", reduce_);
    copy(Direction::to_host, bytes, "download grad");
  }
  if (boundary_) {
    const TensorId wide =
        recorder_.allocate(Category::workspace, 8 * std::min(elements, norm_chunk), "norm in fp64", reduce_);
    recorder_.elementwise(static_cast<double>(bytes) + 16.0 * static_cast<double>(elements), "norm", reduce_);
    recorder_.release(wide);
    const TensorId cast = recorder_.allocate(Category::buffers, sizes_.master * elements, "fp32 grad", reduce_);
    recorder_.elementwise(static_cast<double>(bytes + sizes_.master * elements), "cast grad", reduce_);
    if (optimizer_swap_ && is_swapped(sub_group_of_[p.index()])) {
      leaving_.emplace_back(p, cast);  // with all others of the bucket
    } else if (!is_on_host(sub_group_of_[p.index()])) {
      recorder_.elementwise(2.0 * static_cast<double>(sizes_.master * elements), "keep fp32 grad", reduce_);
      recorder_.release(cast);
    } else {
      copy(Direction::to_host, sizes_.master * elements, "download fp32 grad");
      recorder_.release(cast);
    }
  }
  recorder_.release(on_device);
}

}  // namespace shardsim
