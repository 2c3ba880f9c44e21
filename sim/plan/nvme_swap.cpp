#include "sim/plan/nvme_swap.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "model/core/error.hpp"
#include "model/core/units.hpp"
#include "sim/plan/cpu_optimizer.hpp"

namespace shardsim {

OptimizerSwap::OptimizerSwap(Recorder& recorder, const ZeroOptions& options, const ZeroSizes& sizes,
                             std::int64_t moments, std::vector<std::int64_t> sub_groups)
    : recorder_(recorder),
      options_(options),
      master_bytes_(sizes.master),
      moments_(moments),
      elements_(std::move(sub_groups)),
      read_(recorder.stream("nvme read")),
      write_(recorder.stream("nvme write")),
      arriving_(elements_.size()) {}

void OptimizerSwap::initialise() {
  const std::int64_t largest = *std::max_element(elements_.begin(), elements_.end());
  for (std::int64_t buffer = 0; buffer < options_.optimizer_buffer_count; ++buffer) {
    recorder_.allocate_host(Pool::pageable, Category::buffers, largest * master_bytes_, "optimizer swap buffer");
  }
  for (std::size_t i = 0; i < elements_.size(); ++i) {
    if (!holds(i)) continue;
    const std::int64_t bytes = elements_[i] * master_bytes_;
    recorder_.allocate_host(Pool::storage, Category::master_weights, bytes, "master partition");
    if (moments_ > 0) recorder_.allocate_host(Pool::storage, Category::optimizer, moments_ * bytes, "moments");
    recorder_.allocate_host(Pool::storage, Category::gradients, bytes, "fp32 grad partition");
  }
}

void OptimizerSwap::write_gradient(std::int64_t elements, TensorId on_device, StreamId stream) {
  const std::int64_t bytes = elements * master_bytes_;
  if (bytes < least_swapped_bytes) {
    kept_gradients_.push_back(on_device);
    return;
  }
  recorder_.copy(Direction::to_host, static_cast<double>(bytes), false, "download fp32 grad", stream);
  recorder_.release(on_device);
  recorder_.storage(StorageAccess::write, static_cast<double>(bytes), "write grad", write_);
}

void OptimizerSwap::begin_step() { recorder_.synchronize_stream(write_); }

TaskId OptimizerSwap::read(std::size_t sub_group) {
  const std::int64_t bytes = (2 + moments_) * elements_[sub_group] * master_bytes_;
  return recorder_.storage(StorageAccess::read, static_cast<double>(bytes), "read states and grad", read_);
}

void OptimizerSwap::swap_in(std::size_t sub_group) {
  if (!arriving_[sub_group].valid()) arriving_[sub_group] = read(sub_group);
  recorder_.synchronize(std::exchange(arriving_[sub_group], TaskId{}));
  const std::size_t next = sub_group + 1;
  if (options_.pipeline_read && next < elements_.size() && holds(next)) arriving_[next] = read(next);
}

void OptimizerSwap::swap_out(std::size_t sub_group) {
  if (options_.pipeline_write) recorder_.synchronize(leaving_);
  const std::int64_t bytes = (1 + moments_) * elements_[sub_group] * master_bytes_;
  leaving_ = recorder_.storage(StorageAccess::write, static_cast<double>(bytes), "write states", write_);
  if (!options_.pipeline_write) recorder_.synchronize(leaving_);
}

void OptimizerSwap::end_step() {
  recorder_.synchronize_stream(write_);
  for (const TensorId gradient : kept_gradients_) recorder_.release(gradient);
  kept_gradients_.clear();
}

ParameterSwap::ParameterSwap(Recorder& recorder, const ZeroOptions& options, const ZeroSizes& sizes,
                             const Architecture& architecture, const std::vector<std::vector<ParameterId>>& sub_groups)
    : recorder_(recorder),
      options_(options),
      weight_bytes_(sizes.weight),
      architecture_(architecture),
      sub_groups_(sub_groups),
      read_(recorder.stream("nvme read")),
      write_(recorder.stream("nvme write")),
      on_drives_(architecture.parameters.size()),
      arriving_(architecture.parameters.size()) {
  // The flat buffer takes what max_in_cpu allows; a sub-group that no longer fits into it goes to the drives whole.
  std::int64_t all = 0, kept = 0;
  for (const std::vector<ParameterId>& group : sub_groups_) {
    std::int64_t elements = 0;
    for (const ParameterId p : group) elements += partition_bytes(p) / weight_bytes_;
    all += elements;
    const bool stays = kept + elements <= options_.max_in_cpu;
    if (stays) kept += elements;
    for (const ParameterId p : group) {
      on_drives_[p.index()] = !stays && partition_bytes(p) >= least_swapped_bytes;
      if (!stays && !on_drives_[p.index()]) small_bytes_ += partition_bytes(p);
    }
  }
  pinned_elements_ = std::min(all, options_.max_in_cpu);
  // Frozen parameters are in no sub-group: max_in_cpu keeps none of them.
  for (std::size_t i = 0; i < architecture_.parameters.size(); ++i) {
    if (architecture_.parameters[i].trainable) continue;
    const std::int64_t bytes = partition_bytes(ParameterId(i));
    on_drives_[i] = bytes >= least_swapped_bytes;
    if (!on_drives_[i]) small_frozen_.push_back(bytes);
  }
}

std::int64_t ParameterSwap::partition_bytes(ParameterId p) const {
  return ceil_div(architecture_.parameter(p).numel, recorder_.world()) * weight_bytes_;
}

void ParameterSwap::initialise(Pool pinned) {
  recorder_.allocate_host(pinned, Category::weights, pinned_elements_ * weight_bytes_, "weight partition");
  recorder_.allocate_host(Pool::pageable, Category::weights, small_bytes_, "small weight partitions");
  for (const std::int64_t bytes : small_frozen_) {
    recorder_.allocate_host(pinned, Category::weights, bytes, "weight partition");
  }
  const std::int64_t buffer = options_.parameter_buffer_size * weight_bytes_;
  recorder_.allocate_host(Pool::pageable, Category::buffers, options_.parameter_buffer_count * buffer,
                          "parameter swap buffers");
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < on_drives_.size(); ++i) {
    if (on_drives_[i]) bytes += partition_bytes(ParameterId(i));
  }
  recorder_.allocate_host(Pool::storage, Category::weights, bytes, "weight partition");
}

std::size_t ParameterSwap::free_buffers() const {
  const auto taken = static_cast<std::size_t>(
      std::count_if(arriving_.begin(), arriving_.end(), [](TaskId read) { return read.valid(); }));
  const auto buffers = static_cast<std::size_t>(options_.parameter_buffer_count);
  return buffers > taken ? buffers - taken : 0;
}

void ParameterSwap::read_ahead(std::span<const ParameterId> parameters) {
  for (const ParameterId p : parameters) {
    if (!is_away(p)) continue;
    const auto bytes = static_cast<double>(partition_bytes(p));
    arriving_[p.index()] = recorder_.storage(StorageAccess::read, bytes, "read parameter", read_);
  }
}

void ParameterSwap::require(ParameterId p) {
  read_ahead(std::span(&p, 1));
  recorder_.synchronize(arriving_[p.index()]);
}

void ParameterSwap::write(std::size_t sub_group) {
  std::int64_t bytes = 0;
  for (const ParameterId p : sub_groups_[sub_group]) bytes += on_drives(p) ? partition_bytes(p) : 0;
  if (bytes == 0) return;
  recorder_.synchronize(
      recorder_.storage(StorageAccess::write, static_cast<double>(bytes), "write parameters", write_));
}

void check_nvme(Request& request, const Topology& topology, const Architecture& architecture,
                std::vector<std::string>& assumptions) {
  if (!request.offload.on_nvme()) return;
  if (topology.storages.empty()) {
    throw InputError(fmt::format("{} has no drives to offload to", topology.name), "--strategy " + request.strategy,
                     "a topology with drives, such as dgx-a100, or zero3-offload");
  }
  ZeroOptions& zero = request.zero;
  if (request.offload.optimizer_on_nvme) {
    const std::int64_t states = 2 + host_moments(request.optimizer);  // with weights and gradients
    const std::int64_t least = zero.pipeline_read || zero.pipeline_write ? 2 * states : states;
    if (zero.optimizer_buffer_count < least) {
      throw InputError(
          fmt::format("{} swap buffers hold too few of the optimizer's {} states", zero.optimizer_buffer_count, states),
          "offload_optimizer.buffer_count",
          fmt::format("at least {}{}", least, least > states ? " where reads or writes are pipelined" : ""));
    }
  }
  if (!request.offload.parameters_on_nvme) return;
  std::int64_t largest = 0;
  for (const Parameter& parameter : architecture.parameters) largest = std::max(largest, parameter.numel);
  largest = ceil_div(largest, static_cast<std::int64_t>(topology.devices.size()));
  if (largest <= zero.parameter_buffer_size) return;
  if (zero.parameter_buffer_size != ZeroOptions{}.parameter_buffer_size) {
    throw InputError(
        fmt::format("a partition of {} elements does not fit a swap buffer of {}", largest, zero.parameter_buffer_size),
        "offload_param.buffer_size", fmt::format("at least {}", largest));
  }
  assumptions.push_back(
      fmt::format("offload_param.buffer_size is {} elements: the largest partition does not fit "
                  "DeepSpeed's default of {}",
                  largest, zero.parameter_buffer_size));
  zero.parameter_buffer_size = largest;
}

}  // namespace shardsim
