#include "sim/plan/strategies/zero3.hpp"

#include <utility>

#include "model/core/units.hpp"
#include "sim/cost/host_time.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

CoordinatorConfig coordinator_config(const ZeroOptions& zero) {
  return {zero.max_live_parameters, zero.max_reuse_distance, zero.prefetch_bucket_size, zero.persistence_threshold};
}

// Without overlap_comm everything runs on the compute stream.
StreamId stream_of(const StrategyContext& context, std::string_view name) {
  return context.request.zero.overlap_comm.value_or(true) ? context.recorder.stream(name) : Recorder::compute_stream();
}

}  // namespace

Zero3::Zero3(const StrategyContext& context)
    : request_(context.request),
      architecture_(context.architecture),
      recorder_(context.recorder),
      sizes_(zero_sizes(context.request.precision)),
      pinned_(*context.request.pin_memory),
      all_gather_(stream_of(context, "all-gather")),
      reduce_(stream_of(context, "reduce-scatter")),
      states_(architecture_.parameters.size()),
      coordinator_(architecture_, coordinator_config(context.request.zero),
                   {[this](ParameterCoordinator::Parameters p) { gather(p); }, [this](ParameterId p) { await(p); },
                    [this](ParameterId p) { partition(p); },
                    [this] { recorder_.wait_stream(Recorder::compute_stream(), all_gather_); }}) {
  make_sub_groups();
  make_optimizers(context);
  if (request_.offload.on_nvme()) make_swaps();
}

void Zero3::initialise() {
  place_frozen();
  for (const std::vector<ParameterId>& group : parameter_groups(architecture_)) {
    std::int64_t elements = 0;
    for (const ParameterId p : group) elements += partition_of(p);
    if (!parameter_swap_) {
      place(request_.offload.parameters, pinned_pool(), Category::weights, elements * sizes_.weight,
            "weight partition");
    }
    place(request_.offload.optimizer, pinned_pool(), Category::gradients, elements * sizes_.weight, "grad partition");
  }
  if (parameter_swap_) parameter_swap_->initialise(pinned_pool());
  if (optimizer_swap_) optimizer_swap_->initialise();
  for (std::size_t i = 0; i < sub_groups_.size(); ++i) {
    const SubGroup& group = sub_groups_[i];
    if (is_swapped(i)) continue;
    place(is_on_host(i), Pool::pageable, Category::master_weights, group.elements * sizes_.master, "master partition");
    if (request_.offload.optimizer) {
      place(is_on_host(i), pinned_pool(), Category::gradients, group.elements * sizes_.master, "fp32 grad partition");
    }
  }
  recorder_.allocate(Category::buffers, request_.zero.reduce_bucket_size * sizes_.weight, "ipg bucket", reduce_);
}

void Zero3::begin_forward(std::int64_t micro_step, bool boundary) {
  micro_step_ = micro_step;
  boundary_ = boundary;
  coordinator_.begin_micro_step();
}

void Zero3::post_backward(ModuleId module) {
  reduce_leaf(module);
  release(module);
}

// reduce_independent_p_g_buckets_and_remove_grads; a leaf module's gradients wait until its backward is done.
void Zero3::gradient_ready(ParameterId parameter, TensorId gradient) {
  if (coordinator_.leaf_of(parameter).valid()) {
    states_[parameter.index()].gradient = gradient;
  } else {
    add_to_bucket(parameter, gradient);
  }
}

void Zero3::end_backward() {
  flush();
  recorder_.synchronize_stream(reduce_);
  reduce_events_.clear();
}

void Zero3::optimizer_step() {
  coordinator_.release_all();
  norms();
  if (optimizer_swap_) optimizer_swap_->begin_step();
  for (std::size_t i = 0; i < sub_groups_.size(); ++i) step_sub_group(i);
  if (optimizer_swap_) optimizer_swap_->end_step();
  gather_persistent();
  coordinator_.mark_persistent_available();
}

std::int64_t Zero3::partition_of(ParameterId p) const {
  return ceil_div(architecture_.parameter(p).numel, recorder_.world());
}

// Frozen parameters are partitioned one by one; quantized ones stay whole on every rank.
void Zero3::place_frozen() {
  for (std::size_t i = 0; i < architecture_.parameters.size(); ++i) {
    const Parameter& parameter = architecture_.parameters[i];
    if (parameter.trainable) continue;
    if (parameter.quantization) {
      allocate_weight(recorder_, parameter, weight_type(request_.precision));
    } else if (!parameter_swap_) {
      place(request_.offload.parameters, pinned_pool(), Category::weights, partition_of(ParameterId(i)) * sizes_.weight,
            "weight partition");
    }
  }
}

void Zero3::place(bool on_host, Pool pool, Category category, std::int64_t bytes, const char* label) {
  if (on_host) {
    recorder_.allocate_host(pool, category, bytes, label);
  } else {
    recorder_.allocate(category, bytes, label);
  }
}

// _create_fp16_sub_groups: a group closes once it has reached sub_group_size.
void Zero3::make_sub_groups() {
  sub_group_of_.resize(architecture_.parameters.size());
  for (const std::vector<ParameterId>& group : parameter_groups(architecture_)) {
    bool open = false;
    for (const ParameterId p : group) {
      if (!open) sub_groups_.emplace_back();
      sub_groups_.back().parameters.push_back(p);
      sub_groups_.back().elements += partition_of(p);
      sub_group_of_[p.index()] = sub_groups_.size() - 1;
      open = sub_groups_.back().elements < request_.zero.sub_group_size;
    }
  }
  if (!request_.offload.on_nvme()) {
    on_device_ = static_cast<std::size_t>((1 - request_.zero.ratio) * static_cast<double>(sub_groups_.size()));
  }
}

void Zero3::make_optimizers(const StrategyContext& context) {
  std::vector<OptimizedTensor> flat;
  for (const SubGroup& group : sub_groups_) {
    flat.push_back(flat_partition(group.elements, sizes_.master == 2 ? DType::bf16 : DType::f32));
  }
  if (on_device_ > 0) {
    const OptimizerSetting torch_default{request_.optimizer, OptimizerImpl::foreach, context.paged};
    optimizer_ = make_torch_optimizer(recorder_, torch_default, flat);
  }
  if (request_.offload.optimizer) {
    cpu_optimizer_.emplace(recorder_, request_, std::move(flat));
  } else {
    optimizer_ = make_optimizer(context, std::move(flat));
  }
}

void Zero3::make_swaps() {
  std::vector<std::vector<ParameterId>> parameters;
  std::vector<std::int64_t> elements;
  for (const SubGroup& group : sub_groups_) {
    parameters.push_back(group.parameters);
    elements.push_back(group.elements);
  }
  if (request_.offload.optimizer_on_nvme) {
    optimizer_swap_.emplace(recorder_, request_.zero, sizes_, host_moments(request_.optimizer), elements);
  }
  if (!request_.offload.parameters_on_nvme) return;
  parameter_swap_.emplace(recorder_, request_.zero, sizes_, architecture_, parameters);
  coordinator_.swap_from_drives({[this](ParameterId p) { return parameter_swap_->on_drives(p); },
                                 [this](ParameterId p) { return parameter_swap_->is_away(p); },
                                 [this] { return parameter_swap_->free_buffers(); },
                                 [this](ParameterCoordinator::Parameters p) { parameter_swap_->read_ahead(p); }});
}

// One scalar all-reduce and one blocking scalar copy a sub-group.
void Zero3::norms() {
  for (const SubGroup& group : sub_groups_) {
    for (const ParameterId p : group.parameters) {
      if (request_.offload.optimizer) break;
      const std::int64_t elements = partition_of(p);
      const TensorId wide = recorder_.allocate(Category::workspace, 8 * elements, "norm in fp64");
      recorder_.elementwise(static_cast<double>((16 + sizes_.weight) * elements), "norm");
      recorder_.release(wide);
    }
    recorder_.collective(CollectiveKind::all_reduce, 8, "all-reduce norm", Recorder::compute_stream());
    recorder_.synchronize(recorder_.copy(Direction::to_device, 4, true, "scalar", Recorder::compute_stream()));
  }
}

void Zero3::step_sub_group(std::size_t index) {
  const SubGroup& group = sub_groups_[index];
  const std::int64_t weight_bytes = group.elements * sizes_.weight;
  const std::int64_t master_bytes = group.elements * sizes_.master;
  if (request_.offload.optimizer) {
    is_on_host(index) ? step_on_host(index) : step_beside_host(index);
    return;
  }
  // Flattening a single tensor gives a view of it.
  TensorId flat;
  if (group.parameters.size() > 1) {
    flat = recorder_.allocate(Category::gradients, weight_bytes, "flat grad");
    recorder_.elementwise(2.0 * static_cast<double>(weight_bytes), "flatten grad");
  }
  TensorId cast;
  if (sizes_.master != sizes_.weight) {
    cast = recorder_.allocate(Category::gradients, master_bytes, "fp32 grad");
    recorder_.elementwise(static_cast<double>(weight_bytes + master_bytes), "cast grad");
    recorder_.reset(flat);
  }
  recorder_.elementwise(2.0 * static_cast<double>(master_bytes), "unscale and clip");
  optimizer_->step_tensor(index);
  recorder_.elementwise(static_cast<double>(weight_bytes + master_bytes), "cast weights");
  recorder_.reset(flat);
  recorder_.reset(cast);
}

void Zero3::step_on_host(std::size_t index) {
  const SubGroup& group = sub_groups_[index];
  const bool swapped = is_swapped(index);
  if (swapped) optimizer_swap_->swap_in(index);
  const double extra_bytes = cpu_unscale_bytes + cpu_downcast_bytes;
  if (swapped) {
    cpu_optimizer_->step_swapped_tensor(index, extra_bytes);
  } else {
    cpu_optimizer_->step_tensor(index, extra_bytes);
  }
  if (parameter_swap_) parameter_swap_->write(index);
  if (!request_.offload.parameters) upload_weights(group);
  if (swapped) optimizer_swap_->swap_out(index);
}

// Twin-Flow: the fp32 gradient has been there since backward.
void Zero3::step_beside_host(std::size_t index) {
  const std::int64_t weight_bytes = sub_groups_[index].elements * sizes_.weight;
  const std::int64_t master_bytes = sub_groups_[index].elements * sizes_.master;
  recorder_.elementwise(2.0 * static_cast<double>(master_bytes), "unscale and clip");
  optimizer_->step_tensor(index);
  if (!request_.offload.parameters) {
    recorder_.elementwise(static_cast<double>(weight_bytes + master_bytes), "cast weights");
    return;
  }
  // Likewise a blocking cross-type copy: down as it is, and converted on the CPU.
  const TensorId staged = recorder_.allocate_host(Pool::pageable, Category::buffers, master_bytes, "updated weights");
  recorder_.copy(Direction::to_host, static_cast<double>(master_bytes), false, "download weights",
                 Recorder::compute_stream());
  recorder_.release(staged);
}

void Zero3::upload_weights(const SubGroup& group) {
  // A blocking cross-type copy: converted on the CPU into pageable memory, then sent up.
  const std::int64_t bytes = group.elements * sizes_.weight;
  const TensorId staged = recorder_.allocate_host(Pool::pageable, Category::buffers, bytes, "cast weights");
  recorder_.copy(Direction::to_device, static_cast<double>(bytes), false, "upload weights", Recorder::compute_stream());
  recorder_.release(staged);
}

std::unique_ptr<Strategy> make_zero3(const StrategyContext& context) { return std::make_unique<Zero3>(context); }

}  // namespace shardsim
