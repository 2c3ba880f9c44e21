// ZeRO stage 3 (deepspeed/runtime/zero/stage3.py, partition_parameters.py, parameter_offload.py; DeepSpeed 0.19.8)
// under their options, with contiguous_gradients on.
//
// Every module's hooks fetch and release through the coordinator, gathers run on the all-gather stream; gradients are
// copied into one bucket and reduce-scattered on the reduction stream; each micro-step ends with the host waiting for
// it. The step releases all parameters, takes norms, then goes sub-group by sub-group. With offload the optimizer's
// states (and the parameters' partitions) live in host memory, or pass through it from and to drives.
#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "sim/cost/host_time.hpp"
#include "sim/plan/cpu_optimizer.hpp"
#include "sim/plan/deepspeed.hpp"
#include "sim/plan/nvme_swap.hpp"
#include "sim/plan/optimizer.hpp"
#include "sim/plan/parameter_coordinator.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

constexpr std::size_t max_reduce_events = 2;
constexpr std::size_t max_fetch_events = 2;
constexpr std::int64_t norm_chunk = 250'000'000;  ///< elements, of _constant_buffered_norm2

CoordinatorConfig coordinator_config(const ZeroOptions& zero) {
  return {zero.max_live_parameters, zero.max_reuse_distance, zero.prefetch_bucket_size, zero.persistence_threshold};
}

// Without overlap_comm everything runs on the compute stream.
StreamId stream_of(const StrategyContext& context, std::string_view name) {
  return context.request.zero.overlap_comm.value_or(true) ? context.recorder.stream(name) : Recorder::compute_stream();
}

class Zero3 : public Strategy {
 public:
  explicit Zero3(const StrategyContext& context)
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

  void initialise() override {
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
      place(request_.offload.optimizer, Pool::pageable, Category::master_weights, group.elements * sizes_.master,
            "master partition");
      if (request_.offload.optimizer) {
        recorder_.allocate_host(pinned_pool(), Category::gradients, group.elements * sizes_.master,
                                "fp32 grad partition");
      }
    }
    recorder_.allocate(Category::buffers, request_.zero.reduce_bucket_size * sizes_.weight, "ipg bucket", reduce_);
  }

  void begin_forward(std::int64_t micro_step, bool boundary) override {
    micro_step_ = micro_step;
    boundary_ = boundary;
    coordinator_.begin_micro_step();
  }

  void pre_forward(ModuleId module) override { fetch(module); }
  void post_forward(ModuleId module) override { release(module); }
  void pre_backward(ModuleId module) override { fetch(module); }
  void post_backward(ModuleId module) override {
    reduce_leaf(module);
    release(module);
  }

  // reduce_independent_p_g_buckets_and_remove_grads; a leaf module's gradients wait until its backward is done.
  void gradient_ready(ParameterId parameter, TensorId gradient) override {
    if (coordinator_.leaf_of(parameter).valid()) {
      states_[parameter.index()].gradient = gradient;
    } else {
      add_to_bucket(parameter, gradient);
    }
  }

  void end_backward() override {
    flush();
    recorder_.synchronize_stream(reduce_);
    reduce_events_.clear();
  }

  void optimizer_step() override {
    coordinator_.release_all();
    norms();
    if (optimizer_swap_) optimizer_swap_->begin_step();
    for (std::size_t i = 0; i < sub_groups_.size(); ++i) step_sub_group(i);
    if (optimizer_swap_) optimizer_swap_->end_step();
    gather_persistent();
    coordinator_.mark_persistent_available();
  }

 private:
  struct SubGroup {
    std::vector<ParameterId> parameters;
    std::int64_t elements = 0;  ///< of this rank's partitions
  };
  /// Parameters gathered by one collective into one flat buffer.
  struct GatherBucket {
    std::vector<ParameterId> parameters;
    TensorId flat;
    TaskId done;
    std::size_t waiting = 0;
    bool rebuilt = false;
  };
  struct ParameterState {
    TensorId weight;    ///< gathered
    TensorId gradient;  ///< of a leaf module, until it is reduced
    std::size_t bucket = 0;
  };
  struct Pending {
    ParameterId parameter;
    TensorId gradient;  ///< set where it did not fit into the bucket and keeps its own storage
  };

  void add_to_bucket(ParameterId parameter, TensorId gradient) {
    const std::int64_t numel = architecture_.parameter(parameter).numel;
    recorder_.spend(HookTimes{}.zero_gradient_hook);
    if (bucket_elements_ > 0 && bucket_elements_ + numel > request_.zero.reduce_bucket_size) flush();
    recorder_.wait_stream(reduce_, Recorder::compute_stream());
    if (bucket_elements_ + numel <= request_.zero.reduce_bucket_size) {
      recorder_.elementwise(2.0 * static_cast<double>(numel * sizes_.weight), "copy to bucket", reduce_);
      recorder_.release(gradient);
      gradient = TensorId{};
    }
    bucket_.push_back({parameter, gradient});
    bucket_elements_ += numel;
  }

  // reduce_leaf_module_grads
  void reduce_leaf(ModuleId module) {
    if (!coordinator_.has_hooks(module)) return;
    for (const ParameterId p : coordinator_.parameters_of(module)) {
      const TensorId gradient = std::exchange(states_[p.index()].gradient, TensorId{});
      if (gradient.valid()) add_to_bucket(p, gradient);
    }
  }

  std::int64_t partition_of(ParameterId p) const {
    return ceil_div(architecture_.parameter(p).numel, recorder_.world());
  }
  std::int64_t padded_bytes(ParameterId p) const { return partition_of(p) * recorder_.world() * sizes_.weight; }
  Pool pinned_pool() const { return pinned_ ? Pool::pinned : Pool::pageable; }
  bool gathers() const { return recorder_.world() > 1 || request_.offload.parameters; }

  // Frozen parameters are partitioned one by one; quantized ones stay whole on every rank.
  void place_frozen() {
    for (std::size_t i = 0; i < architecture_.parameters.size(); ++i) {
      const Parameter& parameter = architecture_.parameters[i];
      if (parameter.trainable) continue;
      if (parameter.quantization) {
        allocate_weight(recorder_, parameter, weight_type(request_.precision));
      } else {
        place(request_.offload.parameters, pinned_pool(), Category::weights,
              partition_of(ParameterId(i)) * sizes_.weight, "weight partition");
      }
    }
  }

  void place(bool on_host, Pool pool, Category category, std::int64_t bytes, const char* label) {
    if (on_host) {
      recorder_.allocate_host(pool, category, bytes, label);
    } else {
      recorder_.allocate(category, bytes, label);
    }
  }

  // _create_fp16_sub_groups: a group closes once it has reached sub_group_size.
  void make_sub_groups() {
    for (const std::vector<ParameterId>& group : parameter_groups(architecture_)) {
      bool open = false;
      for (const ParameterId p : group) {
        if (!open) sub_groups_.emplace_back();
        sub_groups_.back().parameters.push_back(p);
        sub_groups_.back().elements += partition_of(p);
        open = sub_groups_.back().elements < request_.zero.sub_group_size;
      }
    }
  }

  void make_optimizers(const StrategyContext& context) {
    std::vector<OptimizedTensor> flat;
    for (const SubGroup& group : sub_groups_) {
      flat.push_back(flat_partition(group.elements, sizes_.master == 2 ? DType::bf16 : DType::f32));
    }
    if (request_.offload.optimizer) {
      cpu_optimizer_.emplace(recorder_, request_.optimizer, std::move(flat));
    } else {
      optimizer_ = make_optimizer(context, std::move(flat));
    }
  }

  void make_swaps() {
    std::vector<std::vector<ParameterId>> parameters;
    std::vector<std::int64_t> elements;
    sub_group_of_.resize(architecture_.parameters.size());
    for (const SubGroup& group : sub_groups_) {
      for (const ParameterId p : group.parameters) sub_group_of_[p.index()] = parameters.size();
      parameters.push_back(group.parameters);
      elements.push_back(group.elements);
    }
    if (request_.offload.optimizer_on_nvme) optimizer_swap_.emplace(recorder_, request_.zero, sizes_, elements);
    if (!request_.offload.parameters_on_nvme) return;
    parameter_swap_.emplace(recorder_, request_.zero, sizes_, architecture_, parameters);
    coordinator_.swap_from_drives({[this](ParameterId p) { return parameter_swap_->on_drives(p); },
                                   [this](ParameterId p) { return parameter_swap_->is_away(p); },
                                   [this] { return parameter_swap_->free_buffers(); },
                                   [this](ParameterCoordinator::Parameters p) { parameter_swap_->read_ahead(p); }});
  }

  /// True where a sub-group's optimizer states lie on drives.
  bool is_swapped(std::size_t sub_group) const { return optimizer_swap_ && optimizer_swap_->holds(sub_group); }
  bool is_on_drives(ParameterId p) const { return parameter_swap_ && parameter_swap_->on_drives(p); }

  void partition(ParameterId p) {
    recorder_.reset(states_[p.index()].weight);
    if (is_on_drives(p)) parameter_swap_->release(p);
  }

  void fetch(ModuleId module) {
    if (!coordinator_.has_hooks(module)) return;
    recorder_.spend(HookTimes{}.zero3_hook);
    coordinator_.fetch(module);
  }
  void release(ModuleId module) {
    if (!coordinator_.has_hooks(module)) return;
    recorder_.spend(HookTimes{}.zero3_hook);
    coordinator_.release(module);
  }

  // One parameter is gathered in place; several through a flat buffer. One rank alone has nothing to gather: the
  // parameter is its partition, or a copy of it from host memory.
  void gather(ParameterCoordinator::Parameters parameters) {
    if (!gathers()) return;
    std::int64_t total = 0;
    for (const ParameterId p : parameters) total += padded_bytes(p);
    buckets_.push_back({{parameters.begin(), parameters.end()}, {}, {}, parameters.size(), false});
    GatherBucket& bucket = buckets_.back();
    for (const ParameterId p : parameters) states_[p.index()].bucket = buckets_.size() - 1;
    if (recorder_.world() == 1) {
      for (const ParameterId p : parameters) {
        if (is_on_drives(p)) parameter_swap_->require(p);
        states_[p.index()].weight = recorder_.allocate(Category::gathered, padded_bytes(p), "parameter", all_gather_);
        bucket.done = recorder_.copy(Direction::to_device, static_cast<double>(padded_bytes(p)),
                                     pinned_ && !is_on_drives(p), "upload parameter", all_gather_);
      }
      bucket.rebuilt = true;
      return;
    }
    if (parameters.size() == 1) {
      TensorId& weight = states_[parameters.front().index()].weight;
      weight = recorder_.allocate(Category::gathered, total, "parameter", all_gather_);
      bucket.rebuilt = true;
    } else {
      bucket.flat = recorder_.allocate(Category::buffers, total, "all-gather flat", all_gather_);
    }
    for (const ParameterId p : parameters) upload_partition(p);
    recorder_.elementwise(2.0 * static_cast<double>(total) / static_cast<double>(recorder_.world()), "copy-in",
                          all_gather_);
    recorder_.collective(CollectiveKind::all_gather, static_cast<double>(total), "all-gather", all_gather_);
    bucket.done = recorder_.record(all_gather_);
  }

  // offload_param: `ds_tensor.to(device)` blocks the host. Swap buffers are locked, but not registered with CUDA.
  void upload_partition(ParameterId p) {
    if (!request_.offload.parameters) return;
    if (is_on_drives(p)) parameter_swap_->require(p);
    const std::int64_t bytes = partition_of(p) * sizes_.weight;
    const TensorId uploaded = recorder_.allocate(Category::buffers, bytes, "uploaded partition", all_gather_);
    recorder_.synchronize(recorder_.copy(Direction::to_device, static_cast<double>(bytes), pinned_ && !is_on_drives(p),
                                         "upload partition", all_gather_));
    recorder_.release(uploaded);
  }

  // The first wait on a bucket rebuilds all of its parameters; the flat buffer goes with its last one. The host runs
  // ahead of the gathers by a few waits at most.
  void await(ParameterId p) {
    if (!gathers()) return;
    GatherBucket& bucket = buckets_[states_[p.index()].bucket];
    if (fetch_events_.size() > max_fetch_events) {
      recorder_.synchronize(fetch_events_.front());
      fetch_events_.pop_front();
    }
    if (recorder_.world() == 1) recorder_.synchronize(bucket.done);
    if (!bucket.rebuilt) {
      bucket.rebuilt = true;
      for (const ParameterId member : bucket.parameters) {
        const std::int64_t bytes = padded_bytes(member);
        states_[member.index()].weight = recorder_.allocate(Category::gathered, bytes, "parameter", all_gather_);
        recorder_.elementwise(2.0 * static_cast<double>(bytes), "cat", all_gather_);
      }
    }
    if (--bucket.waiting == 0) recorder_.reset(bucket.flat);
    fetch_events_.push_back(recorder_.record(all_gather_));
  }

  // _post_step: one all-gather for each, on the compute stream; one rank alone copies them from host memory.
  void gather_persistent() {
    if (!gathers()) return;
    const StreamId stream = Recorder::compute_stream();
    for (std::size_t i = 0; i < states_.size(); ++i) {
      const ParameterId p(i);
      if (!coordinator_.is_persistent(p)) continue;
      states_[i].weight = recorder_.allocate(Category::gathered, padded_bytes(p), "persistent parameter", stream);
      if (recorder_.world() == 1) {
        recorder_.copy(Direction::to_device, static_cast<double>(padded_bytes(p)), pinned_, "upload parameter", stream);
        continue;
      }
      upload_partition(p);
      recorder_.collective(CollectiveKind::all_gather, static_cast<double>(padded_bytes(p)), "all-gather persistent",
                           stream);
    }
    if (recorder_.world() == 1) recorder_.synchronize_stream(stream);
  }

  // __reduce_and_partition_ipg_grads: an interleaved copy (none for a single divisible tensor), reduce-scatter,
  // partition. One rank alone copies and divides all the same.
  void flush() {
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
    for (Pending& pending : bucket_) recorder_.reset(pending.gradient);
    reduce_events_.push_back(recorder_.record(reduce_));
    bucket_.clear();
    bucket_elements_ = 0;
  }

  // __avg_scatter_grads, in communication_data_type; without reduce_scatter what is in the bucket is all-reduced there
  // (__avg_scatter_contiguous_grads). Returns what the reduced slices are part of; unset: the bucket itself.
  TensorId reduce_bucket() {
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
  void partition_gradient(ParameterId p) {
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
      } else {
        copy(Direction::to_host, sizes_.master * elements, "download fp32 grad");
        recorder_.release(cast);
      }
    }
    recorder_.release(on_device);
  }

  // One scalar all-reduce and one blocking scalar copy a sub-group.
  void norms() {
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

  void step_sub_group(std::size_t index) {
    const SubGroup& group = sub_groups_[index];
    const std::int64_t weight_bytes = group.elements * sizes_.weight;
    const std::int64_t master_bytes = group.elements * sizes_.master;
    if (request_.offload.optimizer) {
      step_on_host(index);
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

  void step_on_host(std::size_t index) {
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

  void upload_weights(const SubGroup& group) {
    // A blocking cross-type copy: converted on the CPU into pageable memory, then sent up.
    const std::int64_t bytes = group.elements * sizes_.weight;
    const TensorId staged = recorder_.allocate_host(Pool::pageable, Category::buffers, bytes, "cast weights");
    recorder_.copy(Direction::to_device, static_cast<double>(bytes), false, "upload weights",
                   Recorder::compute_stream());
    recorder_.release(staged);
  }

  const Request& request_;
  const Architecture& architecture_;
  Recorder& recorder_;
  ZeroSizes sizes_;
  bool pinned_;
  StreamId all_gather_, reduce_;
  std::vector<SubGroup> sub_groups_;
  std::vector<ParameterState> states_;
  std::vector<GatherBucket> buckets_;
  ParameterCoordinator coordinator_;
  std::unique_ptr<Optimizer> optimizer_;       ///< on the device
  std::optional<CpuOptimizer> cpu_optimizer_;  ///< in host memory
  std::vector<Pending> bucket_;                ///< gradients waiting to be reduced
  std::int64_t bucket_elements_ = 0;
  std::deque<TaskId> reduce_events_, fetch_events_;
  std::optional<OptimizerSwap> optimizer_swap_;
  std::optional<ParameterSwap> parameter_swap_;
  std::vector<std::size_t> sub_group_of_;                  ///< by parameter, where something is swapped
  std::vector<std::pair<ParameterId, TensorId>> leaving_;  ///< fp32 gradients on their way to the drives
  std::int64_t micro_step_ = 0;
  bool boundary_ = true;
};

}  // namespace

std::unique_ptr<Strategy> make_zero3(const StrategyContext& context) { return std::make_unique<Zero3>(context); }

}  // namespace shardsim
