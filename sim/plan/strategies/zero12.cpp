#include "sim/plan/strategies/zero12.hpp"

#include <algorithm>
#include <utility>

#include "sim/cost/constants.hpp"
#include "sim/cost/host_time.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {

Zero12::Zero12(const StrategyContext& context)
    : request_(context.request),
      architecture_(context.architecture),
      recorder_(context.recorder),
      sizes_(zero_sizes(context.request.precision)),
      stage2_(context.request.kind == StrategyKind::zero2),
      offload_(context.request.offload.optimizer),
      pinned_(*context.request.pin_memory),
      overlaps_(context.request.zero.overlap_comm.value_or(false)),
      reduce_(overlaps_ ? recorder_.stream("reduction") : Recorder::compute_stream()),
      groups_(flat_groups(context.architecture, context.recorder.rank(), context.recorder.world(),
                          grouping_of(context.request))),
      gradients_(context.architecture.parameters.size()),
      owned_elements_(context.architecture.parameters.size(), 0),
      places_(context.architecture.parameters.size()),
      accumulates_(context.architecture.parameters.size(), false) {
  std::vector<OptimizedTensor> partitions;
  for (const FlatGroup& group : groups_) {
    partitions.push_back(flat_partition(group.partition, sizes_.master == 2 ? DType::bf16 : DType::f32));
    for (const OwnedSlice& slice : group.owned) {
      owned_elements_[slice.parameter.index()] = slice.elements;
      owned_total_ += architecture_.parameter(slice.parameter).numel;
    }
    for (std::size_t i = 0; i < group.parameters.size(); ++i) {
      places_[group.parameters[i].index()] = {group.offset[i], group.partition};
    }
  }
  if (offload_) {
    cpu_optimizer_.emplace(recorder_, request_, std::move(partitions));
  } else if (request_.optimizer == OptimizerKind::muon) {
    muon_.emplace(architecture_, recorder_, request_.precision);
    optimizer_ = make_torch_optimizer(recorder_, {OptimizerKind::adamw, OptimizerImpl::fused, context.paged},
                                      std::move(partitions));
  } else {
    optimizer_ = make_optimizer(context, std::move(partitions));
  }
}

void Zero12::initialise() {
  std::int64_t largest = 0;
  for (const Parameter& parameter : architecture_.parameters) {
    if (parameter.trainable) {
      largest = std::max(largest, parameter.numel);
    } else {
      allocate_weight(recorder_, parameter, weight_type(request_.precision));
    }
  }
  for (const FlatGroup& group : groups_) {
    recorder_.allocate(Category::weights, group.padded * sizes_.weight, "flat weights");
    if (!offload_) {
      recorder_.allocate(Category::master_weights, group.partition * sizes_.master, "master partition");
      continue;
    }
    recorder_.allocate_host(pinned_pool(), Category::master_weights, group.partition * sizes_.master,
                            "master partition");
    recorder_.allocate_host(pinned_pool(), Category::gradients, group.partition * sizes_.master, "fp32 grad partition");
    recorder_.allocate_host(pinned_pool(), Category::buffers, group.partition * sizes_.weight, "bf16 staging");
  }
  if (!offload_) return;
  recorder_.allocate_host(pinned_pool(), Category::buffers, largest * sizes_.weight, "grad staging");
  recorder_.allocate(Category::buffers, largest * sizes_.weight, "grad staging");
}

void Zero12::begin_forward(std::int64_t micro_step, bool boundary) {
  micro_step_ = micro_step;
  boundary_ = boundary;
}

void Zero12::gradient_ready(ParameterId parameter, TensorId gradient) {
  recorder_.spend(cost_constants().hooks.zero_gradient_hook);
  set_up_buckets();
  if (stage2_) {
    add_to_bucket(parameter, gradient);
    return;
  }
  TensorId& held = gradients_[parameter.index()];
  if (held.valid()) {
    recorder_.elementwise(3.0 * static_cast<double>(recorder_.bytes_of(held)), "accumulate grad");
    recorder_.release(gradient);
  } else {
    held = gradient;
  }
  if (overlaps_ && boundary_) add_to_bucket(parameter, std::exchange(held, TensorId{}));
}

void Zero12::end_backward() {
  if (!stage2_ && !boundary_) return;
  if (!stage2_) {
    for (const std::vector<ParameterId>& group : parameter_groups(architecture_, muon_.has_value())) {
      for (const ParameterId p : group) {
        const TensorId gradient = std::exchange(gradients_[p.index()], TensorId{});
        if (gradient.valid()) add_to_bucket(p, gradient);
      }
    }
  }
  flush();
  if (overlaps_) recorder_.synchronize_device();
  if (muon_ && boundary_) {
    for (const FlatGroup& group : groups_) {
      if (group.muon) muon_->orthogonalize(group);
    }
    release_owned_gradients(0);
  }
  for (const TensorId gradient : reduced_in_place_) recorder_.release(gradient);
  reduced_in_place_.clear();
  for (TensorId& buffer : ipg_buffers_) recorder_.reset(buffer);
  recorder_.reset(accumulated_);
}

void Zero12::optimizer_step() {
  check_and_norm();
  if (muon_) muon_->commit_momentum();
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (offload_) {
      step_on_host(i);
    } else {
      step_on_device(i);
    }
  }
  for (const FlatGroup& group : groups_) {
    recorder_.collective(CollectiveKind::all_gather, static_cast<double>(group.padded * sizes_.weight),
                         "all-gather weights", Recorder::compute_stream());
  }
}

// has_inf_or_nan: the largest and the smallest element, so two readings and no memory. fp32 gradients are not
// checked.
void Zero12::check_overflow(std::int64_t elements, StreamId stream) {
  recorder_.elementwise(2.0 * static_cast<double>(elements * sizes_.weight), "overflow check", stream);
}

void Zero12::read_scalar() {
  recorder_.synchronize(recorder_.copy(Direction::to_host, 4, true, "scalar", Recorder::compute_stream()));
}

void Zero12::write_scalar() {
  recorder_.synchronize(recorder_.copy(Direction::to_device, 4, true, "scalar", Recorder::compute_stream()));
}

// has_overflow, then the norm of each group. Offloaded gradients were checked and their norms taken in backward: the
// host reads each, and sends the sum up to be reduced.
void Zero12::check_and_norm() {
  recorder_.synchronize(last_download_);
  last_download_ = TaskId{};
  if (is_checked()) {
    if (offload_) write_scalar();
    for (const FlatGroup& group : groups_) {
      for (const OwnedSlice& slice : group.owned) {
        if (!offload_) check_overflow(slice.elements);
      }
    }
    recorder_.collective(CollectiveKind::all_reduce, 1, "all-reduce overflow", Recorder::compute_stream());
    read_scalar();
  }
  for (const FlatGroup& group : groups_) norm(group);
  if (!offload_) read_scalar();  // is_invalid_grad_norm
}

void Zero12::norm(const FlatGroup& group) {
  for (const OwnedSlice& slice : group.owned) {
    if (offload_) {
      read_scalar();
      continue;
    }
    const TensorId wide = recorder_.allocate(Category::workspace, 8 * slice.elements, "norm in fp64");
    recorder_.elementwise(static_cast<double>((16 + sizes_.weight) * slice.elements), "norm");
    recorder_.release(wide);
  }
  if (offload_) write_scalar();
  recorder_.collective(CollectiveKind::all_reduce, 4, "all-reduce norm", Recorder::compute_stream());
  if (offload_) {
    read_scalar();
  } else {
    write_scalar();  // the -1 that stands for an invalid norm
  }
}

void Zero12::step_on_device(std::size_t index) {
  const FlatGroup& group = groups_[index];
  const std::int64_t weight_bytes = group.partition * sizes_.weight;
  const std::int64_t master_bytes = group.partition * sizes_.master;
  // Flattening a single tensor gives a view of it.
  const bool one_tensor = group.owned.size() == 1 && group.owned.front().elements == group.partition;
  TensorId flat;
  if (!one_tensor) {
    flat = recorder_.allocate(Category::gradients, weight_bytes, "flat grad");
    recorder_.elementwise(2.0 * static_cast<double>(weight_bytes), "flatten grad");
  }
  if (sizes_.master != sizes_.weight) {
    const TensorId cast = recorder_.allocate(Category::gradients, master_bytes, "fp32 grad");
    recorder_.elementwise(static_cast<double>(weight_bytes + master_bytes), "cast grad");
    recorder_.reset(flat);
    flat = cast;
  }
  if (group.muon && flat.valid()) muon_->release_updates();
  recorder_.elementwise(2.0 * static_cast<double>(master_bytes), "unscale and clip");
  if (group.muon) {
    muon_->step(group.partition, sizes_.master);
  } else {
    optimizer_->step_tensor(index);
  }
  recorder_.reset(flat);
  release_owned_gradients(index + 1);
  recorder_.elementwise(static_cast<double>(weight_bytes + master_bytes), "copy weights");
}

// All groups' owned gradients are views of one storage: it goes with the last group that holds one. Muon's hold its
// updates instead.
void Zero12::release_owned_gradients(std::size_t index) {
  for (std::size_t i = index; i < groups_.size(); ++i) {
    if (!groups_[i].muon) return;
  }
  recorder_.reset(grads_in_partition_);
}

void Zero12::step_on_host(std::size_t index) {
  const FlatGroup& group = groups_[index];
  cpu_optimizer_->step_tensor(index, cpu_unscale_bytes + cpu_downcast_bytes);
  recorder_.copy(Direction::to_device, static_cast<double>(group.partition * sizes_.weight), pinned_, "upload weights",
                 recorder_.stream("host-to-device"));
  recorder_.wait_stream(Recorder::compute_stream(), recorder_.stream("host-to-device"));
}

std::unique_ptr<Strategy> make_zero12(const StrategyContext& context) { return std::make_unique<Zero12>(context); }

}  // namespace shardsim
