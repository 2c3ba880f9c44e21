// ZeRO stages 1 and 2 (deepspeed/runtime/zero/stage_1_and_2.py, one class for both; deepspeedai/DeepSpeed edaa72212)
// with DeepSpeed's defaults: overlap_comm off, reduce_bucket_size 5e8, reduce_scatter and contiguous_gradients on.
//
// Every rank holds all that is trained in one flat buffer a parameter group (what is frozen stays as it is), and an fp32 master and the moments of its own
// partition. Gradients pass through a bucket that is all-reduced as a whole, on the compute stream, and the owned slices
// are kept: in stage 2 during each backward, in stage 1 after the last one. With offload the owned gradients go to host
// memory in fp32 during the last backward, and the CPU updates.
#include <algorithm>
#include <optional>
#include <utility>

#include "sim/cost/host_time.hpp"
#include "sim/plan/adamw.hpp"
#include "sim/plan/deepspeed.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

// _has_inf_or_nan: float copy 4, isinf 1, isnan 1, their or 1, float 4.
constexpr std::int64_t overflow_check_bytes = 11;

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
        groups_(flat_groups(context.architecture, context.recorder.rank(), context.recorder.world())),
        gradients_(context.architecture.parameters.size()),
        owned_elements_(context.architecture.parameters.size(), 0),
        owner_(context.architecture.parameters.size()) {
    std::vector<std::int64_t> partitions;
    for (const FlatGroup& group : groups_) {
      partitions.push_back(group.partition);
      for (const OwnedSlice& slice : group.owned) {
        owned_elements_[slice.parameter.index()] = slice.elements;
        owned_total_ += architecture_.parameter(slice.parameter).numel;
      }
      for (std::size_t i = 0; i < group.parameters.size(); ++i) {
        const std::int64_t last = group.offset[i] + architecture_.parameter(group.parameters[i]).numel - 1;
        owner_[group.parameters[i].index()] = {group.offset[i] / group.partition, last / group.partition};
      }
    }
    adam_.emplace(recorder_, request_.optimizer_impl, sizes_.master == 2 ? DType::bf16 : DType::f32, std::move(partitions));
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
      recorder_.allocate_host(pinned_pool(), Category::master_weights, group.partition * sizes_.master, "master partition");
      recorder_.allocate_host(pinned_pool(), Category::gradients, group.partition * sizes_.master, "fp32 grad partition");
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
    if (!ipg_buffer_.valid()) {
      ipg_buffer_ = recorder_.allocate(Category::buffers, config_.reduce_bucket_size * sizes_.weight, "ipg bucket");
    }
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
  }

  void end_backward() override {
    if (!stage2_ && !boundary_) return;
    if (!stage2_) {
      for (const FlatGroup& group : groups_) {
        for (const ParameterId p : group.parameters) {
          const TensorId gradient = std::exchange(gradients_[p.index()], TensorId{});
          if (gradient.valid()) add_to_bucket(p, gradient);
        }
      }
    }
    flush();
    recorder_.reset(ipg_buffer_);
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
      recorder_.collective(CollectiveKind::all_gather, static_cast<double>(group.padded * sizes_.weight), "all-gather weights",
                           Recorder::compute_stream());
    }
  }

 private:
  struct Pending {
    ParameterId parameter;
    TensorId gradient;  ///< set for a parameter larger than the bucket, which is reduced where it is
  };

  Pool pinned_pool() const { return pinned_ ? Pool::pinned : Pool::pageable; }

  void add_to_bucket(ParameterId parameter, TensorId gradient) {
    const std::int64_t numel = architecture_.parameter(parameter).numel;
    if (bucket_elements_ > 0 && bucket_elements_ + numel > config_.reduce_bucket_size) flush();
    if (numel <= config_.reduce_bucket_size) {
      recorder_.elementwise(2.0 * static_cast<double>(numel * sizes_.weight), "copy to bucket");
      recorder_.release(gradient);
      gradient = TensorId{};
    }
    bucket_.push_back({parameter, gradient});
    bucket_elements_ += numel;
  }

  // reduce_ipg_grads and average_tensor: divide, flatten unless one rank owns it all, all-reduce, copy back; then keep
  // what is owned.
  void flush() {
    if (bucket_.empty()) return;
    const double bytes = static_cast<double>(bucket_elements_ * sizes_.weight);
    const std::int64_t owner = owner_[bucket_.front().parameter.index()].first;
    const bool one_owner = std::all_of(bucket_.begin(), bucket_.end(), [&](const Pending& pending) {
      const auto& [first, last] = owner_[pending.parameter.index()];
      return first == owner && last == owner;
    });
    if (recorder_.world() > 1) {
      recorder_.elementwise(2 * bytes, "average");
      TensorId flat;
      if (!one_owner) {
        flat = recorder_.allocate(Category::buffers, bucket_elements_ * sizes_.weight, "flat bucket");
        recorder_.elementwise(2 * bytes, "flatten");
      }
      recorder_.collective(CollectiveKind::all_reduce, bytes, "all-reduce gradients", Recorder::compute_stream());
      if (flat.valid()) recorder_.elementwise(2 * bytes / static_cast<double>(recorder_.world()), "copy owned slices");
      recorder_.reset(flat);
    }
    for (const Pending& pending : bucket_) {
      if (owned_elements_[pending.parameter.index()] > 0) keep_owned(pending.parameter);
    }
    for (Pending& pending : bucket_) recorder_.reset(pending.gradient);
    bucket_.clear();
    bucket_elements_ = 0;
  }

  // copy_grads_in_partition, or the way to host memory. All owned parameters' gradients share one storage, each with its
  // full length even where only a slice of it is owned.
  void keep_owned(ParameterId p) {
    const double bytes = static_cast<double>(architecture_.parameter(p).numel * sizes_.weight);
    if (offload_) {
      download(p);
      return;
    }
    if (stage2_ && micro_step_ > 0) {
      // Later micro-steps fill a second storage, which is then added to the first.
      if (!accumulated_.valid()) {
        accumulated_ = recorder_.allocate(Category::gradients, owned_total_ * sizes_.weight, "grads in partition");
      }
      recorder_.elementwise(5 * bytes, "accumulate grad");
      return;
    }
    if (!grads_in_partition_.valid()) {
      grads_in_partition_ = recorder_.allocate(Category::gradients, owned_total_ * sizes_.weight, "grads in partition");
    }
    recorder_.elementwise(2 * bytes, "copy grad to partition");
  }

  void download(ParameterId p) {
    const std::int64_t numel = architecture_.parameter(p).numel;
    const std::int64_t slice = owned_elements_[p.index()];
    const double bytes = static_cast<double>(numel * sizes_.weight);
    const StreamId stream = Recorder::compute_stream();
    if (stage2_ && request_.grad_accum > 1) {
      if (!host_accumulated_) {
        host_accumulated_ = true;
        recorder_.allocate_host(pinned_pool(), Category::gradients, owned_total_ * sizes_.weight, "accumulated grads");
      }
      if (micro_step_ > 0) {
        recorder_.copy(Direction::to_device, bytes, pinned_, "upload accumulated grad", stream);
        recorder_.elementwise(1.5 * bytes, "accumulate grad");
      }
      recorder_.copy(Direction::to_host, bytes, pinned_, "download accumulated grad", stream);
    }
    if (!boundary_) return;
    const TensorId wide = recorder_.allocate(Category::workspace, 8 * slice, "norm in fp64");
    recorder_.elementwise(18.0 * static_cast<double>(slice), "norm");
    recorder_.release(wide);
    overflow_check(numel);
    recorder_.synchronize_stream(stream);
    const TensorId cast = recorder_.allocate(Category::buffers, slice * sizes_.master, "fp32 grad");
    recorder_.elementwise(static_cast<double>(slice * (sizes_.weight + sizes_.master)), "cast grad");
    recorder_.copy(Direction::to_host, static_cast<double>(slice * sizes_.master), pinned_, "download fp32 grad", stream);
    recorder_.release(cast);
  }

  void overflow_check(std::int64_t elements) {
    const TensorId temporaries = recorder_.allocate(Category::workspace, overflow_check_bytes * elements, "overflow check");
    recorder_.elementwise(2.0 * static_cast<double>(overflow_check_bytes * elements), "overflow check");
    recorder_.release(temporaries);
  }

  // has_overflow (read by the host), then the norm: one blocking scalar copy a group. Offloaded gradients were checked
  // in backward; each then costs the host one read of a scalar.
  void check_and_norm() {
    for (const FlatGroup& group : groups_) {
      for (const OwnedSlice& slice : group.owned) {
        if (offload_) {
          recorder_.synchronize(recorder_.copy(Direction::to_host, 8, true, "scalar", Recorder::compute_stream()));
        } else {
          overflow_check(slice.elements);
        }
      }
    }
    recorder_.collective(CollectiveKind::all_reduce, 4, "all-reduce overflow", Recorder::compute_stream());
    recorder_.synchronize_stream(Recorder::compute_stream());
    for (const FlatGroup& group : groups_) {
      for (const OwnedSlice& slice : group.owned) {
        if (offload_) break;
        const TensorId wide = recorder_.allocate(Category::workspace, 8 * slice.elements, "norm in fp64");
        recorder_.elementwise(18.0 * static_cast<double>(slice.elements), "norm");
        recorder_.release(wide);
      }
      recorder_.collective(CollectiveKind::all_reduce, 8, "all-reduce norm", Recorder::compute_stream());
      recorder_.synchronize(recorder_.copy(Direction::to_device, 4, true, "scalar", Recorder::compute_stream()));
    }
  }

  void step_on_device(std::size_t index) {
    const FlatGroup& group = groups_[index];
    const std::int64_t weight_bytes = group.partition * sizes_.weight;
    const std::int64_t master_bytes = group.partition * sizes_.master;
    TensorId flat = recorder_.allocate(Category::gradients, weight_bytes, "flat grad");
    recorder_.elementwise(2.0 * static_cast<double>(weight_bytes), "flatten grad");
    if (sizes_.master != sizes_.weight) {
      const TensorId cast = recorder_.allocate(Category::gradients, master_bytes, "fp32 grad");
      recorder_.elementwise(static_cast<double>(weight_bytes + master_bytes), "cast grad");
      recorder_.release(flat);
      flat = cast;
    }
    recorder_.elementwise(2.0 * static_cast<double>(master_bytes), "unscale and clip");
    adam_->step_tensor(index);
    recorder_.reset(flat);
    // All groups' owned gradients are views of one storage: it goes with the last group.
    if (index + 1 == groups_.size()) recorder_.reset(grads_in_partition_);
    recorder_.elementwise(static_cast<double>(weight_bytes + master_bytes), "copy weights");
  }

  void step_on_host(std::size_t index) {
    const FlatGroup& group = groups_[index];
    if (index >= host_moments_) {
      host_moments_ = index + 1;
      recorder_.allocate_host(Pool::pageable, Category::optimizer, 2 * group.partition * sizes_.master, "moments");
    }
    cpu_adam(recorder_, group.partition, cpu_unscale_bytes + cpu_downcast_bytes);
    recorder_.copy(Direction::to_device, static_cast<double>(group.partition * sizes_.weight), pinned_, "upload weights",
                   recorder_.stream("host-to-device"));
    recorder_.wait_stream(Recorder::compute_stream(), recorder_.stream("host-to-device"));
  }

  const Request& request_;
  const Architecture& architecture_;
  Recorder& recorder_;
  ZeroConfig config_;
  ZeroSizes sizes_;
  bool stage2_, offload_, pinned_;
  std::vector<FlatGroup> groups_;
  std::vector<TensorId> gradients_;            ///< stage 1: held until the boundary, by parameter
  std::vector<std::int64_t> owned_elements_;   ///< by parameter
  std::vector<std::pair<std::int64_t, std::int64_t>> owner_;  ///< first and last owning rank, by parameter
  std::int64_t owned_total_ = 0;               ///< full elements of all parameters that touch this rank's partitions
  std::optional<AdamW> adam_;
  TensorId ipg_buffer_;
  TensorId grads_in_partition_;
  TensorId accumulated_;
  std::vector<Pending> bucket_;
  std::int64_t bucket_elements_ = 0;
  bool host_accumulated_ = false;
  std::size_t host_moments_ = 0;
  std::int64_t micro_step_ = 0;
  bool boundary_ = true;
};

}  // namespace

std::unique_ptr<Strategy> make_zero12(const StrategyContext& context) { return std::make_unique<Zero12>(context); }

}  // namespace shardsim
