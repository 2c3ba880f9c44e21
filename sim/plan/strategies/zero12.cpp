// ZeRO stages 1 and 2 (deepspeed/runtime/zero/stage_1_and_2.py, one class for both; DeepSpeed 0.19.8) under their
// options, with contiguous_gradients on.
//
// Every rank holds the whole model, what is trained of it in one flat buffer a parameter group, and an fp32 master and
// the moments of its own partition. Gradients pass through a bucket that is all-reduced as a whole, on the compute
// stream, and the owned slices are kept: in stage 2 during each backward, in stage 1 after the last one. With
// overlap_comm there are two buckets and a stream for reductions, which run during backward in stage 1 too; a bucket
// waits for the one before it. With offload the owned gradients go to host memory in fp32 during the last backward, and
// the CPU updates.
#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "sim/cost/host_time.hpp"
#include "sim/plan/cpu_optimizer.hpp"
#include "sim/plan/deepspeed.hpp"
#include "sim/plan/optimizer.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

class Zero12 : public Strategy {
 public:
  explicit Zero12(const StrategyContext& context)
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
                            context.request.zero.round_robin_gradients)),
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
      cpu_optimizer_.emplace(recorder_, request_.optimizer, std::move(partitions));
    } else {
      optimizer_ = make_optimizer(context, std::move(partitions));
    }
  }

  void initialise() override {
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
      recorder_.allocate_host(pinned_pool(), Category::gradients, group.partition * sizes_.master,
                              "fp32 grad partition");
      recorder_.allocate_host(pinned_pool(), Category::buffers, group.partition * sizes_.weight, "bf16 staging");
    }
    if (!offload_) return;
    recorder_.allocate_host(pinned_pool(), Category::buffers, largest * sizes_.weight, "grad staging");
    recorder_.allocate(Category::buffers, largest * sizes_.weight, "grad staging");
  }

  void begin_forward(std::int64_t micro_step, bool boundary) override {
    micro_step_ = micro_step;
    boundary_ = boundary;
  }

  void gradient_ready(ParameterId parameter, TensorId gradient) override {
    recorder_.spend(HookTimes{}.zero_gradient_hook);
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

  void end_backward() override {
    if (!stage2_ && !boundary_) return;
    if (!stage2_) {
      for (const std::vector<ParameterId>& group : parameter_groups(architecture_)) {
        for (const ParameterId p : group) {
          const TensorId gradient = std::exchange(gradients_[p.index()], TensorId{});
          if (gradient.valid()) add_to_bucket(p, gradient);
        }
      }
    }
    flush();
    if (overlaps_) recorder_.synchronize_device();
    for (const TensorId gradient : reduced_in_place_) recorder_.release(gradient);
    reduced_in_place_.clear();
    for (TensorId& buffer : ipg_buffers_) recorder_.reset(buffer);
    recorder_.reset(accumulated_);
  }

  void optimizer_step() override {
    check_and_norm();
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

 private:
  struct Pending {
    ParameterId parameter;
    TensorId gradient;  ///< set for a parameter larger than the bucket, which is reduced where it is
  };

  bool is_checked() const { return sizes_.weight == 2; }
  Pool pinned_pool() const { return pinned_ ? Pool::pinned : Pool::pageable; }

  void set_up_buckets() {
    const std::int64_t bytes = request_.zero.reduce_bucket_size * sizes_.weight;
    for (std::size_t i = 0; i < (overlaps_ ? 2 : 1); ++i) {
      if (!ipg_buffers_[i].valid()) ipg_buffers_[i] = recorder_.allocate(Category::buffers, bytes, "ipg bucket");
    }
  }

  void add_to_bucket(ParameterId parameter, TensorId gradient) {
    const std::int64_t numel = architecture_.parameter(parameter).numel;
    if (bucket_elements_ > 0 && bucket_elements_ + numel > request_.zero.reduce_bucket_size) flush();
    if (numel <= request_.zero.reduce_bucket_size) {
      recorder_.elementwise(2.0 * static_cast<double>(numel * sizes_.weight), "copy to bucket");
      recorder_.release(gradient);
      gradient = TensorId{};
    } else if (offload_) {
      gradient = cloned(gradient);
    }
    bucket_.push_back({parameter, gradient});
    bucket_elements_ += numel;
  }

  // With offload a gradient that is reduced where it is gets a storage of its own first.
  TensorId cloned(TensorId gradient) {
    const std::int64_t bytes = recorder_.bytes_of(gradient);
    const TensorId clone = recorder_.allocate(Category::gradients, bytes, "grad");
    recorder_.elementwise(2.0 * static_cast<double>(bytes), "clone grad");
    recorder_.release(gradient);
    return clone;
  }

  std::vector<OwnerSlice> slices_of_bucket() const {
    std::vector<OwnerSlice> slices;
    for (const Pending& pending : bucket_) {
      add_slices(places_[pending.parameter.index()], architecture_.parameter(pending.parameter).numel, slices);
    }
    return slices;
  }

  // reduce_ipg_grads and average_tensor: divide, all-reduce, keep what is owned.
  void flush() {
    if (bucket_.empty()) return;
    recorder_.wait_stream(reduce_, Recorder::compute_stream());
    recorder_.wait_stream(Recorder::compute_stream(), reduce_);
    recorder_.elementwise(2.0 * static_cast<double>(bucket_elements_ * sizes_.weight), "average", reduce_);
    if (request_.zero.reduce_scatter) {
      all_reduce_by_owner();
    } else {
      reduce_over_ranks(bucket_elements_);
    }
    for (const Pending& pending : bucket_) {
      if (owned_elements_[pending.parameter.index()] > 0) keep_owned(pending.parameter);
    }
    for (Pending& pending : bucket_) {
      if (!pending.gradient.valid()) continue;
      // Stage 1 clears the gradients that others own in its epilogue only.
      const bool stays = !stage2_ && owned_elements_[pending.parameter.index()] == 0;
      if (stays) {
        reduced_in_place_.push_back(pending.gradient);
      } else {
        recorder_.release(pending.gradient);
      }
    }
    bucket_.clear();
    bucket_elements_ = 0;
  }

  void all_reduce_by_owner() {
    std::vector<OwnerSlice> together;
    std::int64_t elements = 0;
    for (const OwnerSlice& slice : slices_of_bucket()) {
      together.push_back(slice);
      elements += slice.elements;
      if (elements <= request_.zero.reduce_bucket_size) continue;
      all_reduce(together, elements);
      together.clear();
      elements = 0;
    }
    if (!together.empty()) all_reduce(together, elements);
  }

  // In communication_data_type: another type goes through a copy.
  void reduce_over_ranks(std::int64_t elements) {
    const std::int64_t bytes = elements * size_of(*request_.reduce_dtype);
    TensorId cast;
    if (*request_.reduce_dtype != gradient_type(request_.precision)) {
      cast = recorder_.allocate(Category::buffers, bytes, "gradients in communication type", reduce_);
      recorder_.elementwise(static_cast<double>(bytes + elements * sizes_.weight), "cast gradients", reduce_);
    }
    recorder_.collective(CollectiveKind::all_reduce, static_cast<double>(bytes), "all-reduce gradients", reduce_);
    if (!cast.valid()) return;
    recorder_.elementwise(static_cast<double>(bytes + elements * sizes_.weight), "cast gradients back", reduce_);
    recorder_.release(cast);
  }

  // allreduce_and_scatter: slices of several owners are flattened first, and the owner's copied back.
  void all_reduce(const std::vector<OwnerSlice>& slices, std::int64_t elements) {
    const double bytes = static_cast<double>(elements * sizes_.weight);
    TensorId flat;
    if (slices.size() > 1) {
      flat = recorder_.allocate(Category::buffers, elements * sizes_.weight, "flat bucket", reduce_);
      recorder_.elementwise(2 * bytes, "flatten", reduce_);
    }
    reduce_over_ranks(elements);
    if (!flat.valid()) return;
    std::int64_t owned = 0;
    for (const OwnerSlice& slice : slices) owned += slice.owner == recorder_.rank() ? slice.elements : 0;
    if (owned > 0) {
      recorder_.elementwise(2.0 * static_cast<double>(owned * sizes_.weight), "copy owned slices", reduce_);
    }
    recorder_.release(flat);
  }

  // copy_grads_in_partition, or the way to host memory. All owned parameters' gradients share one storage, each with
  // its full length even where only a slice of it is owned.
  void keep_owned(ParameterId p) {
    const double bytes = static_cast<double>(architecture_.parameter(p).numel * sizes_.weight);
    if (offload_) {
      download(p);
      return;
    }
    if (stage2_ && micro_step_ > 0) {
      // Later micro-steps fill a second storage, which is then added to the first.
      if (!accumulated_.valid()) {
        accumulated_ =
            recorder_.allocate(Category::gradients, owned_total_ * sizes_.weight, "grads in partition", reduce_);
      }
      recorder_.elementwise(5 * bytes, "accumulate grad", reduce_);
      return;
    }
    if (!grads_in_partition_.valid()) {
      grads_in_partition_ =
          recorder_.allocate(Category::gradients, owned_total_ * sizes_.weight, "grads in partition", reduce_);
    }
    recorder_.elementwise(2 * bytes, "copy grad to partition", reduce_);
  }

  void download(ParameterId p) {
    const std::int64_t slice = owned_elements_[p.index()];
    if (stage2_ && request_.grad_accum > 1) accumulate_on_host(p);
    if (!boundary_) return;
    const TensorId wide = recorder_.allocate(Category::workspace, 8 * slice, "norm in fp64", reduce_);
    recorder_.elementwise(18.0 * static_cast<double>(slice), "norm", reduce_);
    recorder_.release(wide);
    check_overflow(architecture_.parameter(p).numel, reduce_);
    recorder_.synchronize_stream(reduce_);
    TensorId cast;
    if (sizes_.master != sizes_.weight) {
      cast = recorder_.allocate(Category::buffers, slice * sizes_.master, "fp32 grad", reduce_);
      recorder_.elementwise(static_cast<double>(slice * (sizes_.weight + sizes_.master)), "cast grad", reduce_);
    }
    last_download_ = recorder_.copy(Direction::to_host, static_cast<double>(slice * sizes_.master), pinned_,
                                    "download fp32 grad", reduce_);
    recorder_.reset(cast);
  }

  // async_accumulate_grad_in_cpu_via_gpu: each parameter has its own buffer, made in the first micro-step; with a
  // 16-bit master the optimizer's gradient serves. The host waits for the copies under way before it starts more.
  void accumulate_on_host(ParameterId p) {
    const bool whole = sizes_.master != 2;
    const std::int64_t elements = whole ? architecture_.parameter(p).numel : owned_elements_[p.index()];
    const double bytes = static_cast<double>(elements * sizes_.weight);
    recorder_.synchronize(last_download_);
    if (whole && !accumulates_[p.index()]) {
      accumulates_[p.index()] = true;
      recorder_.allocate_host(pinned_pool(), Category::gradients, elements * sizes_.weight, "accumulated grads");
    }
    if (micro_step_ > 0) {
      recorder_.copy(Direction::to_device, bytes, pinned_, "upload accumulated grad", reduce_);
      recorder_.elementwise(3 * bytes, "accumulate grad", reduce_);
    }
    last_download_ = recorder_.copy(Direction::to_host, bytes, pinned_, "download accumulated grad", reduce_);
  }

  // has_inf_or_nan: the largest and the smallest element, so two readings and no memory. fp32 gradients are not
  // checked.
  void check_overflow(std::int64_t elements, StreamId stream = Recorder::compute_stream()) {
    recorder_.elementwise(2.0 * static_cast<double>(elements * sizes_.weight), "overflow check", stream);
  }

  void read_scalar() {
    recorder_.synchronize(recorder_.copy(Direction::to_host, 4, true, "scalar", Recorder::compute_stream()));
  }
  void write_scalar() {
    recorder_.synchronize(recorder_.copy(Direction::to_device, 4, true, "scalar", Recorder::compute_stream()));
  }

  // has_overflow, then the norm of each group. Offloaded gradients were checked and their norms taken in backward: the
  // host reads each, and sends the sum up to be reduced.
  void check_and_norm() {
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

  void norm(const FlatGroup& group) {
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

  void step_on_device(std::size_t index) {
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
    recorder_.elementwise(2.0 * static_cast<double>(master_bytes), "unscale and clip");
    optimizer_->step_tensor(index);
    recorder_.reset(flat);
    // All groups' owned gradients are views of one storage: it goes with the last group.
    if (index + 1 == groups_.size()) recorder_.reset(grads_in_partition_);
    recorder_.elementwise(static_cast<double>(weight_bytes + master_bytes), "copy weights");
  }

  void step_on_host(std::size_t index) {
    const FlatGroup& group = groups_[index];
    cpu_optimizer_->step_tensor(index, cpu_unscale_bytes + cpu_downcast_bytes);
    recorder_.copy(Direction::to_device, static_cast<double>(group.partition * sizes_.weight), pinned_,
                   "upload weights", recorder_.stream("host-to-device"));
    recorder_.wait_stream(Recorder::compute_stream(), recorder_.stream("host-to-device"));
  }

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

}  // namespace

std::unique_ptr<Strategy> make_zero12(const StrategyContext& context) { return std::make_unique<Zero12>(context); }

}  // namespace shardsim
