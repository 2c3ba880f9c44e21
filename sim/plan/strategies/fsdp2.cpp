// FSDP2: torch.distributed.fsdp.fully_shard (torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py,
// _fsdp_collectives.py, _fsdp_param.py), wrapped as accelerate and torchtitan wrap: the embedding, each decoder layer,
// [final norm, lm_head] without resharding after forward, and the rest in the root.
//
// Streams: compute; "all-gather copy-in", "all-gather" and "reduce-scatter"; under hybrid sharding "all-reduce". Each
// parameter is sharded on its first dimension, padded to the size of the shard group. Units gather in 16 bits from fp32
// shards, reduce in fp32 unless told otherwise.
#include <algorithm>
#include <optional>
#include <utility>

#include "model/core/check.hpp"
#include "sim/cost/constants.hpp"
#include "sim/plan/fsdp_units.hpp"
#include "sim/plan/strategies/fsdp.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

class Fsdp2 : public Fsdp {
 public:
  explicit Fsdp2(const StrategyContext& context)
      : Fsdp(context),
        pinned_(*context.request.pin_memory),
        copy_in_(recorder_.stream("all-gather copy-in")),
        all_gather_(recorder_.stream("all-gather")),
        reduce_scatter_(recorder_.stream("reduce-scatter")) {
    post_reduce_ = recorder_.replicas() > 1 ? recorder_.stream("all-reduce") : reduce_scatter_;
    const bool reshard = context.request.kind != StrategyKind::fsdp_grad_op;
    for (FsdpUnit& unit :
         fsdp_units(architecture_, recorder_.rank(), recorder_.world(), reshard, wraps_layers(context.request))) {
      units_.emplace_back().shape = std::move(unit);
    }
    unit_of_parameter_.assign(architecture_.parameters.size(), 0);
    local_elements_.assign(architecture_.parameters.size(), 0);
    for (std::size_t u = 0; u < units_.size(); ++u) {
      for (const FsdpParameter& parameter : units_[u].shape.parameters) {
        unit_of_parameter_[parameter.id.index()] = u;
        if (parameter.trainable) local_elements_[parameter.id.index()] = parameter.local;
      }
    }
    make_optimizers(context, optimized_shards());
  }

  void initialise() override {
    for (const Unit& unit : units_) {
      for (const FsdpParameter& parameter : unit.shape.parameters) {
        const std::int64_t bytes = stored_bytes(parameter);
        if (offload_) {
          recorder_.allocate_host(host_pool(), Category::weights, bytes, "sharded weight");
        } else {
          recorder_.allocate(Category::weights, bytes, "sharded weight");
        }
      }
    }
    allocate_replicated();
  }

  void begin_forward(std::int64_t /*micro_step*/, bool /*boundary*/) override {
    // The gather streams wait for the optimizer step before them.
    recorder_.wait_stream(copy_in_, Recorder::compute_stream());
    recorder_.wait_stream(all_gather_, Recorder::compute_stream());
    forward_order_.clear();
    in_backward_ = false;
  }

  void pre_forward(ModuleId module) override {
    if (in_backward_) return;
    for (std::size_t u = 0; u < units_.size(); ++u) {
      if (units_[u].shape.first != module) continue;
      unshard(u);
      wait_for_unshard(u);
    }
  }

  void post_forward(ModuleId module) override {
    if (in_backward_) return;
    for (std::size_t u = 0; u < units_.size(); ++u) {
      if (units_[u].shape.last != module) continue;
      if (units_[u].shape.reshard_after_forward) reshard(u);
      forward_order_.push_back(u);
    }
    if (module == ModuleId(0)) {
      wait_for_kept_gather();
      recorder_.reset(kept_gather_);
    }
  }

  void pre_backward(ModuleId module) override {
    for (std::size_t u = 0; u < units_.size(); ++u) {
      if (units_[u].shape.last != module) continue;
      unshard(u);
      wait_for_unshard(u);
      prefetch_before(u);
    }
  }

  void post_backward(ModuleId module) override {
    for (std::size_t u = 0; u < units_.size(); ++u) {
      if (units_[u].shape.first == module && !units_[u].shape.reduces_last) reduce(u);
    }
  }

  void gradient_ready(ParameterId parameter, TensorId gradient) override {
    units_[unit_of_parameter_[parameter.index()]].gradients.push_back(gradient);
  }

  void end_backward() override {
    for (std::size_t u = 0; u < units_.size(); ++u) {
      if (units_[u].shape.reduces_last) reduce(u);
    }
    for (const Unit& unit : units_) recorder_.wait(Recorder::compute_stream(), unit.reduced);
    recorder_.reset(reduce_input_);
    for (Unit& unit : units_) recorder_.reset(unit.all_reduced);
    for (const TaskId copied : gradients_copied_) recorder_.synchronize(copied);
    gradients_copied_.clear();
  }

  void optimizer_step() override {
    update();
    for (Unit& unit : units_) {
      for (TensorId& gradient : unit.host_gradients) recorder_.reset(gradient);
      unit.host_gradients.clear();
      recorder_.reset(unit.sharded_gradient);
    }
  }

 private:
  struct Unit {
    FsdpUnit shape;
    bool gathering = false;           ///< from unshard to wait_for_unshard
    TensorId gather_output;           ///< while the all-gather runs and until it is copied out
    TaskId gathered;                  ///< its all-gather
    std::vector<TensorId> weights;    ///< unsharded parameters
    std::vector<TensorId> gradients;  ///< unsharded, from autograd
    TensorId sharded_gradient;
    TensorId all_reduced;  ///< hybrid: its buffer in the reduction's type, kept until the end of backward
    std::vector<TensorId> host_gradients;
    TaskId reduced;  ///< last task of its reduction
    bool unsharded() const { return !weights.empty(); }
  };

  /// accelerate upcasts what is trained to fp32 before sharding; what is frozen stays in the type that it was loaded
  /// in.
  DType stored_type(const FsdpParameter& parameter) const { return parameter.trainable ? original_ : compute_; }
  std::int64_t stored_bytes(const FsdpParameter& parameter) const {
    return parameter.shard * size_of(stored_type(parameter));
  }
  Pool host_pool() const { return pinned_ ? Pool::pinned : Pool::pageable; }

  // foreach_all_gather: cast the shards, copy them into their slot of the output, gather in place.
  void unshard(std::size_t index) {
    Unit& unit = units_[index];
    if (unit.unsharded() || unit.gathering || unit.shape.parameters.empty()) return;
    unit.gathering = true;
    if (recorder_.world() == 1) return;
    recorder_.spend(cost_constants().hooks.fsdp_unshard);
    const std::int64_t shard_bytes = unit.shape.shard_elements() * size_of(compute_);
    std::vector<TensorId> inputs;
    if (offload_) {
      inputs = upload(unit);
    } else if (original_ != compute_) {
      const std::int64_t trained = unit.shape.trained_shard_elements();
      if (trained > 0) {
        inputs.push_back(
            recorder_.allocate(Category::buffers, trained * size_of(compute_), "all-gather input", copy_in_));
        recorder_.elementwise(static_cast<double>(trained * (size_of(compute_) + size_of(original_))), "cast shards",
                              copy_in_);
      }
    }
    unit.gather_output =
        recorder_.allocate(Category::buffers, shard_bytes * recorder_.world(), "all-gather output", copy_in_);
    recorder_.elementwise(2.0 * static_cast<double>(shard_bytes), "copy-in", copy_in_);
    recorder_.wait_stream(all_gather_, copy_in_);
    recorder_.collective(CollectiveKind::all_gather, static_cast<double>(shard_bytes * recorder_.world()), "all-gather",
                         all_gather_);
    unit.gathered = recorder_.record(all_gather_);
    for (const TensorId input : inputs) recorder_.release(input);
  }

  // CPUOffloadPolicy: each shard goes up in its own type, then is cast on the device.
  std::vector<TensorId> upload(const Unit& unit) {
    std::vector<TensorId> inputs;
    for (const FsdpParameter& parameter : unit.shape.parameters) {
      const std::int64_t bytes = stored_bytes(parameter);
      TensorId uploaded = recorder_.allocate(Category::buffers, bytes, "uploaded shard", copy_in_);
      recorder_.copy(Direction::to_device, static_cast<double>(bytes), pinned_, "upload shard", copy_in_);
      if (stored_type(parameter) != compute_) {
        const std::int64_t cast_bytes = parameter.shard * size_of(compute_);
        inputs.push_back(recorder_.allocate(Category::buffers, cast_bytes, "all-gather input", copy_in_));
        recorder_.elementwise(static_cast<double>(bytes + cast_bytes), "cast shards", copy_in_);
        recorder_.release(uploaded);
      } else {
        inputs.push_back(uploaded);
      }
    }
    return inputs;
  }

  // In forward each unit's output is kept until the next unit's copy-out, so that one's copy-out overlaps the other's
  // gather. wait_for_unshard forgets the kept output before it copies, but its own local variable holds it until it
  // returns: two outputs and one unit's weights are alive at once. In backward the output goes right after the
  // copy-out.
  void wait_for_unshard(std::size_t index) {
    Unit& unit = units_[index];
    if (!unit.gathering) return;
    unit.gathering = false;
    if (recorder_.world() == 1) return copy_shards(unit);
    if (!in_backward_) wait_for_kept_gather();
    recorder_.wait(Recorder::compute_stream(), unit.gathered);
    for (const FsdpParameter& parameter : unit.shape.parameters) {
      const std::int64_t bytes = parameter.shard * recorder_.world() * size_of(compute_);
      unit.weights.push_back(recorder_.allocate(Category::gathered, bytes, "unsharded weight"));
    }
    const double bytes = static_cast<double>(unit.shape.shard_elements() * recorder_.world() * size_of(compute_));
    const TaskId copied = recorder_.elementwise(2 * bytes, "copy-out");
    if (in_backward_) {
      recorder_.wait(copy_in_, copied);
      recorder_.wait(all_gather_, copied);
      recorder_.reset(unit.gather_output);
    } else {
      recorder_.reset(kept_gather_);
      kept_gather_ = unit.gather_output;
      kept_copied_ = copied;
      unit.gather_output = TensorId{};
    }
  }

  // One rank gathers nothing: each shard is cast, then copied. Python's variable keeps a cast until it holds the next.
  void copy_shards(Unit& unit) {
    recorder_.spend(cost_constants().hooks.fsdp_unshard);
    TensorId previous;
    for (const FsdpParameter& parameter : unit.shape.parameters) {
      const std::int64_t stored = stored_bytes(parameter), bytes = parameter.shard * size_of(compute_);
      TensorId shard;
      if (offload_) {
        shard = recorder_.allocate(Category::buffers, stored, "uploaded shard");
        recorder_.copy(Direction::to_device, static_cast<double>(stored), pinned_, "upload shard",
                       Recorder::compute_stream());
      }
      if (stored_type(parameter) != compute_) {
        const TensorId uploaded = shard;
        shard = recorder_.allocate(Category::buffers, bytes, "cast shard");
        recorder_.elementwise(static_cast<double>(stored + bytes), "cast shards");
        if (offload_) recorder_.release(uploaded);
      }
      recorder_.reset(previous);
      previous = shard;
      unit.weights.push_back(recorder_.allocate(Category::gathered, bytes, "unsharded weight"));
      recorder_.elementwise(2.0 * static_cast<double>(bytes), "copy shard");
    }
    recorder_.reset(previous);
  }

  void wait_for_kept_gather() {
    recorder_.wait(copy_in_, kept_copied_);
    recorder_.wait(all_gather_, kept_copied_);
    kept_copied_ = TaskId{};
  }

  void reshard(std::size_t index) {
    Unit& unit = units_[index];
    for (const TensorId weight : unit.weights) recorder_.release(weight);
    unit.weights.clear();
  }

  // One unit ahead, in reverse order of forward.
  void prefetch_before(std::size_t index) {
    if (const std::optional<std::size_t> before = unit_before(index)) unshard(*before);
  }

  void reduce(std::size_t index) {
    Unit& unit = units_[index];
    reshard(index);
    if (unit.gradients.empty()) return;
    recorder_.spend(cost_constants().hooks.fsdp_reduce);
    recorder_.wait(Recorder::compute_stream(), reduce_input_read_);
    recorder_.reset(reduce_input_);
    const std::int64_t elements = unit.shape.trained_shard_elements() * recorder_.world();
    const std::int64_t input_bytes = elements * size_of(reduce_);
    reduce_input_ = recorder_.allocate(Category::buffers, input_bytes, "reduce-scatter input");
    recorder_.elementwise(static_cast<double>(input_bytes + elements * size_of(compute_)), "chunk-cat");
    for (const TensorId gradient : unit.gradients) recorder_.release(gradient);
    unit.gradients.clear();
    recorder_.wait_stream(reduce_scatter_, Recorder::compute_stream());
    TensorId output = recorder_.allocate(Category::gradients, unit.shape.trained_shard_elements() * size_of(reduce_),
                                         "reduce-scatter output", reduce_scatter_);
    recorder_.collective(CollectiveKind::reduce_scatter, static_cast<double>(input_bytes), "reduce-scatter",
                         reduce_scatter_);
    reduce_input_read_ = recorder_.record(reduce_scatter_);
    reduce_over_replicas(recorder_.bytes_of(output), reduce_scatter_);
    if (reduce_ != original_) output = cast_output(unit, output);
    if (offload_) {
      download(unit, output);
    } else if (unit.sharded_gradient.valid()) {
      recorder_.elementwise(3.0 * static_cast<double>(recorder_.bytes_of(output)), "accumulate grad", post_reduce_);
      let_go(unit, output);
    } else {
      unit.sharded_gradient = output;
    }
    unit.reduced = recorder_.record(post_reduce_);
  }

  TensorId cast_output(Unit& unit, TensorId output) {
    const std::int64_t bytes = unit.shape.trained_shard_elements() * size_of(original_);
    const TensorId cast = recorder_.allocate(Category::gradients, bytes, "sharded grad", post_reduce_);
    recorder_.elementwise(static_cast<double>(bytes + recorder_.bytes_of(output)), "cast grad", post_reduce_);
    let_go(unit, output);
    return cast;
  }

  // Hybrid: the buffer that was all-reduced lives until the end of backward (FSDPParamGroup._all_reduce_state).
  void let_go(Unit& unit, TensorId output) {
    if (recorder_.replicas() > 1 && !unit.all_reduced.valid()) {
      unit.all_reduced = output;
    } else {
      recorder_.release(output);
    }
  }

  // The first micro-step's shards go down without blocking; later ones block and are added on the CPU.
  void download(Unit& unit, TensorId output) {
    const bool accumulating = !unit.host_gradients.empty();
    for (const FsdpParameter& parameter : unit.shape.parameters) {
      if (!parameter.trainable) continue;
      const std::int64_t bytes = parameter.shard * size_of(original_);
      const TensorId landed = recorder_.allocate_host(host_pool(), Category::gradients, bytes, "sharded grad");
      const TaskId copied =
          recorder_.copy(Direction::to_host, static_cast<double>(bytes), pinned_, "download grad", post_reduce_);
      if (accumulating) {
        recorder_.synchronize(copied);
        recorder_.host_work(3.0 * static_cast<double>(bytes), 0, "accumulate grad");
        recorder_.release(landed);
      } else {
        unit.host_gradients.push_back(landed);
        gradients_copied_.push_back(copied);
      }
    }
    let_go(unit, output);
  }

  // The optimizer's states are DTensors of the rows that a rank owns.
  std::vector<OptimizedTensor> optimized_shards() const {
    std::vector<OptimizedTensor> local = optimized_parameters(architecture_, original_);
    std::size_t next = 0;
    for (std::size_t i = 0; i < local_elements_.size(); ++i) {
      if (!architecture_.parameters[i].trainable) continue;
      OptimizedTensor& tensor = local[next++];
      tensor.whole_rows = tensor.shape.front();
      tensor.shape.front() = local_elements_[i] / (tensor.numel() / tensor.whole_rows);
    }
    return local;
  }

  bool pinned_;
  StreamId copy_in_, all_gather_, reduce_scatter_;
  std::vector<Unit> units_;
  std::vector<std::size_t> unit_of_parameter_;
  std::vector<std::int64_t> local_elements_;  ///< by parameter
  TensorId kept_gather_;                      ///< forward: the last unit's all-gather output
  TaskId kept_copied_;
  TensorId reduce_input_;  ///< of the last reduction; alive until the next one's copy-in
  TaskId reduce_input_read_;
  std::vector<TaskId> gradients_copied_;
};

}  // namespace

std::unique_ptr<Strategy> make_fsdp2(const StrategyContext& context) { return std::make_unique<Fsdp2>(context); }

}  // namespace shardsim
