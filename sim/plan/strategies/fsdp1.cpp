// FSDP1: torch.distributed.fsdp.FullyShardedDataParallel (torch/distributed/fsdp/_runtime_utils.py, _flat_param.py,
// _limiter_utils.py, at 2.13), wrapped as accelerate wraps: each decoder layer one FlatParameter, the root the rest;
// beside frozen ones each trained matrix.
//
// Streams: compute; "pre-unshard" casts or uploads shards, "unshard" gathers, "post-backward" reduces, and under hybrid
// sharding "all-reduce" reduces once more. A FlatParameter is all parameters of its unit end to end, padded to the size
// of the shard group; the module's parameters are views into it, so that autograd puts their gradients together again.
#include <algorithm>
#include <deque>
#include <optional>
#include <set>
#include <utility>

#include "model/core/units.hpp"
#include "sim/cost/constants.hpp"
#include "sim/plan/fsdp_units.hpp"
#include "sim/plan/strategies/fsdp.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

/// _FreeEventQueue: all-gathers whose memory is not known to be free yet.
constexpr std::size_t gathers_in_flight = 2;

/// Gradients are divided by about the square root of the ranks before they are summed, and by the rest after
/// (algorithms/_comm_hooks/default_hooks.py, _get_gradient_predivide_factor).
std::int64_t predivide_factor(std::int64_t ranks) {
  std::int64_t factor = 1;
  while (ranks % factor == 0 && ranks / factor > factor) factor *= 2;
  return factor;
}

class Fsdp1 : public Fsdp {
 public:
  explicit Fsdp1(const StrategyContext& context)
      : Fsdp(context),
        reshard_after_forward_(context.request.kind != StrategyKind::fsdp1_grad_op),
        pre_unshard_(recorder_.stream("pre-unshard")),
        unshard_(recorder_.stream("unshard")),
        post_backward_(recorder_.stream("post-backward")) {
    post_reduce_ = recorder_.replicas() > 1 ? recorder_.stream("all-reduce") : post_backward_;
    flatten(context);
    make_optimizers(context, optimized_shards());
  }

  void initialise() override {
    for (const Unit& unit : units_) {
      const std::int64_t bytes = unit.shard * size_of(unit.stored);
      if (offload_) {
        recorder_.allocate_host(Pool::pinned, Category::weights, bytes, "flat shard");
        // A frozen one has it too (_flat_param.py, init_flat_param_attributes).
        recorder_.allocate_host(Pool::pinned, Category::gradients, bytes, "flat grad shard");
      } else {
        recorder_.allocate(Category::weights, bytes, "flat shard");
      }
    }
    allocate_replicated();
  }

  void begin_forward(std::int64_t /*micro_step*/, bool /*boundary*/) override {
    recorder_.wait_stream(unshard_, Recorder::compute_stream());
    recorder_.wait_stream(pre_unshard_, Recorder::compute_stream());
    forward_order_.clear();
    in_backward_ = false;
  }

  /// A reentrant checkpoint lies around the unit: its hooks run again, and it is gathered, freed and gathered.
  bool hooks_precede_recomputation() const override { return !request_.use_reentrant.value_or(false); }

  void pre_forward(ModuleId module) override {
    const std::size_t u = unit_of_module_[module.index()];
    if (u == no_unit || is_outside(u)) return;
    if (!units_[u].prefetched) unshard(u);
    recorder_.wait_stream(Recorder::compute_stream(), unshard_);
    if (request_.fsdp.forward_prefetch && !in_backward_) prefetch_after(u);
  }

  void post_forward(ModuleId module) override {
    const std::size_t u = unit_of_module_[module.index()];
    if (u == no_unit || is_outside(u)) return;
    if (!in_backward_) forward_order_.push_back(u);
    units_[u].waits_for_backward = true;
    units_[u].prefetched = false;
    if (u != root && reshard_after_forward_) reshard(u);
  }

  void pre_backward(ModuleId module) override {
    const std::size_t u = unit_of_module_[module.index()];
    if (u == no_unit) return;
    if (!units_[u].prefetched) unshard(u);
    recorder_.wait_stream(Recorder::compute_stream(), unshard_);
    units_[u].waits_for_backward = false;
    prefetch_before(u, FsdpOptions::Prefetch::pre);
    let_frozen_go();
  }

  // The root's FlatParameter has all its gradients only when the embedding, the last of all, has its own. A frozen one
  // goes when the gradients of the unit's inputs are there, if they have any: their tensor's hooks run in the order of
  // their registration, so that the unit below has gathered before.
  void post_backward(ModuleId module) override {
    const std::size_t u = unit_of_module_[module.index()];
    if (u == no_unit || units_[u].ends_last) return;
    if (units_[u].trained) {
      reduce(u);
    } else {
      frozen_to_go_ = u;
    }
  }

  void gradient_ready(ParameterId parameter, TensorId gradient) override {
    units_[unit_of_parameter_[parameter.index()]].gradients.push_back(gradient);
  }

  void end_backward() override {
    let_frozen_go();
    for (std::size_t u = 0; u < units_.size(); ++u) {
      if (!units_[u].ends_last) continue;
      if (units_[u].trained) {
        reduce(u);
      } else {
        reshard(u);
      }
    }
    known_order_ = forward_order_;
    recorder_.wait_stream(Recorder::compute_stream(), post_backward_);
    recorder_.wait_stream(Recorder::compute_stream(), post_reduce_);
    if (!offload_) return;
    // The host waits for the compute stream, which waits for all copies.
    for (const StreamId stream : {Recorder::compute_stream(), post_backward_, post_reduce_}) {
      recorder_.synchronize_stream(stream);
    }
    for (Unit& unit : units_) recorder_.reset(unit.sharded_gradient);
  }

  // Offloaded gradients have gone at the end of backward.
  void optimizer_step() override {
    update();
    for (Unit& unit : units_) recorder_.reset(unit.sharded_gradient);
  }

 private:
  static constexpr std::size_t no_unit = ~std::size_t{0};
  static constexpr std::size_t root = 0;

  /// Recomputation runs inside of the unit. A nested unit lies inside of what is recomputed.
  bool is_outside(std::size_t unit) const {
    return in_backward_ && !units_[unit].nested && hooks_precede_recomputation();
  }

  struct Unit {
    std::int64_t elements = 0;   ///< of all its parameters, before padding
    std::int64_t shard = 0;      ///< elements of a padded shard
    std::int64_t optimized = 0;  ///< of it, those that are trained; taken as spread evenly over the ranks
    DType stored = DType::f32;   ///< of the shard
    bool trained = true;
    bool nested = false;     ///< inside of a decoder layer's unit
    bool ends_last = false;  ///< no hook of autograd marks the end of its backward
    TensorId weights;        ///< the gathered FlatParameter
    bool prefetched = false;
    bool waits_for_backward = false;
    std::vector<TensorId> gradients;  ///< of the views, from autograd
    TensorId sharded_gradient;
  };

  // accelerate casts a trained FlatParameter up to fp32; a frozen one stays in the type that it was loaded in.
  void flatten(const StrategyContext& context) {
    unit_of_module_.assign(architecture_.modules.size(), no_unit);
    unit_of_parameter_.assign(architecture_.parameters.size(), no_unit);
    for (const FlatUnit& shape : flat_units(architecture_, recorder_.world())) {
      const bool is_root = units_.empty();
      Unit& unit = units_.emplace_back();
      unit.elements = shape.elements;
      unit.shard = shape.shard;
      unit.optimized =
          shape.trained_elements == shape.elements ? shape.shard : ceil_div(shape.trained_elements, recorder_.world());
      unit.stored = shape.trained ? original_ : compute_;
      unit.trained = shape.trained;
      unit.nested = shape.nested;
      unit.ends_last = is_root || (!shape.trained && !takes_gradient(context.graph, shape.module));
      unit_of_module_[shape.module.index()] = units_.size() - 1;
      for (const ParameterId id : shape.parameters) unit_of_parameter_[id.index()] = units_.size() - 1;
    }
  }

  /// True where something that enters the module's forward needs a gradient.
  static bool takes_gradient(const Graph& graph, ModuleId module) {
    const auto is = [&](Step::Kind kind) {
      return [&graph, module, kind](const Step& step) { return step.kind == kind && ModuleId(step.index) == module; };
    };
    const auto begin = std::find_if(graph.forward.begin(), graph.forward.end(), is(Step::Kind::enter));
    const auto end = std::find_if(begin, graph.forward.end(), is(Step::Kind::leave));
    std::set<ValueId> inside;
    for (auto step = begin; step != end; ++step) {
      if (step->kind != Step::Kind::run) continue;
      const Operator& op = graph.operators[step->index];
      for (const ValueId input : op.inputs) {
        if (graph.value(input).needs_gradient && !inside.contains(input)) return true;
      }
      inside.insert(op.outputs.begin(), op.outputs.end());
    }
    return false;
  }

  void unshard(std::size_t index) {
    Unit& unit = units_[index];
    recorder_.spend(cost_constants().hooks.fsdp_unshard);
    TensorId input = shard_on_device(unit);
    if (input.valid()) recorder_.wait_stream(unshard_, pre_unshard_);
    if (request_.fsdp.limit_all_gathers && freed_.size() >= gathers_in_flight) {
      recorder_.synchronize(freed_.front());
      freed_.pop_front();
    }
    if (!unit.weights.valid()) {
      const std::int64_t bytes = unit.shard * recorder_.world() * size_of(compute_);
      unit.weights = recorder_.allocate(Category::gathered, bytes, "flat parameter", unshard_);
      recorder_.collective(CollectiveKind::all_gather, static_cast<double>(bytes), "all-gather", unshard_);
    }
    free_after(input, unshard_);
  }

  // pre_unshard: the shard in the type that is gathered. An offloaded one goes up even where its unit is still
  // gathered.
  TensorId shard_on_device(const Unit& unit) {
    const bool casts = unit.stored != compute_;
    if (!offload_ && (unit.weights.valid() || !casts)) return TensorId{};
    const std::int64_t stored = unit.shard * size_of(unit.stored);
    const std::int64_t bytes = unit.shard * size_of(compute_);
    TensorId uploaded;
    TensorId input;
    if (casts) input = recorder_.allocate(Category::buffers, bytes, "mixed-precision shard", pre_unshard_);
    if (offload_) {
      uploaded = recorder_.allocate(Category::buffers, stored, "uploaded shard", pre_unshard_);
      recorder_.copy(Direction::to_device, static_cast<double>(stored), true, "upload shard", pre_unshard_);
    }
    if (!casts) return uploaded;
    recorder_.elementwise(static_cast<double>(stored + bytes), "cast shard", pre_unshard_);
    free_after(uploaded, unshard_);
    return input;
  }

  // _no_dispatch_record_stream(), then freed: FSDP1 waits for no stream before it lets memory go.
  void free_after(TensorId& tensor, StreamId user) {
    if (!tensor.valid()) return;
    recorder_.record_stream(tensor, user);
    recorder_.reset(tensor);
  }

  void reshard(std::size_t index) {
    Unit& unit = units_[index];
    free_after(unit.weights, Recorder::compute_stream());
    unit.prefetched = false;
    if (request_.fsdp.limit_all_gathers) freed_.push_back(recorder_.record(Recorder::compute_stream()));
  }

  // In the order of an earlier forward.
  void prefetch_after(std::size_t index) {
    // Post-forward order lists the root last; it runs first.
    const auto here = std::find(known_order_.begin(), known_order_.end(), index);
    if (known_order_.empty() || (index != root && here + 1 == known_order_.end())) return;
    const std::size_t next = index == root ? known_order_.front() : *(here + 1);
    if (next != root) prefetch(next);
  }

  void prefetch_before(std::size_t index, FsdpOptions::Prefetch when) {
    if (request_.fsdp.backward_prefetch != when) return;
    const std::optional<std::size_t> before = unit_before(index);
    if (before && units_[*before].waits_for_backward) prefetch(*before);
  }

  void let_frozen_go() {
    if (!frozen_to_go_) return;
    reshard(*frozen_to_go_);
    prefetch_before(*frozen_to_go_, FsdpOptions::Prefetch::post);
    frozen_to_go_.reset();
  }

  void prefetch(std::size_t index) {
    if (units_[index].prefetched) return;
    unshard(index);
    units_[index].prefetched = true;
  }

  void reduce(std::size_t index) {
    Unit& unit = units_[index];
    recorder_.spend(cost_constants().hooks.fsdp_reduce);
    // The backward of torch.split, which made the views.
    const std::int64_t flat_bytes = unit.elements * size_of(compute_);
    TensorId flat = recorder_.allocate(Category::gradients, flat_bytes, "flat grad");
    recorder_.elementwise(2.0 * static_cast<double>(flat_bytes), "concatenate gradients");
    for (const TensorId gradient : unit.gradients) recorder_.release(gradient);
    unit.gradients.clear();

    reshard(index);
    prefetch_before(index, FsdpOptions::Prefetch::post);
    recorder_.wait_stream(post_backward_, Recorder::compute_stream());
    TensorId reduced = reduce_scatter(unit);
    free_after(flat, post_backward_);
    recorder_.record_stream(reduced, post_reduce_);
    reduce_over_replicas(recorder_.bytes_of(reduced), post_backward_);
    const std::int64_t ranks = recorder_.world() * recorder_.replicas();
    if (ranks / predivide_factor(ranks) > 1) divide(reduced, post_reduce_);
    keep(unit, reduced);
  }

  /// Returns this rank's part of the sum.
  TensorId reduce_scatter(const Unit& unit) {
    const std::int64_t bytes = unit.elements * size_of(reduce_);
    const std::int64_t padded_bytes = unit.shard * recorder_.world() * size_of(reduce_);
    TensorId cast;
    if (reduce_ != compute_) {
      cast = recorder_.allocate(Category::buffers, bytes, "flat grad to reduce", post_backward_);
      recorder_.elementwise(static_cast<double>(bytes + unit.elements * size_of(compute_)), "cast grad",
                            post_backward_);
    }
    TensorId padded;
    if (padded_bytes != bytes) {
      padded = recorder_.allocate(Category::buffers, padded_bytes, "padded flat grad", post_backward_);
      recorder_.elementwise(static_cast<double>(bytes + padded_bytes), "pad grad", post_backward_);
    }
    const TensorId output =
        recorder_.allocate(Category::gradients, unit.shard * size_of(reduce_), "reduced grad shard", post_backward_);
    if (predivide_factor(recorder_.world() * recorder_.replicas()) > 1) {
      recorder_.elementwise(2.0 * static_cast<double>(padded_bytes), "divide grad", post_backward_);
    }
    recorder_.collective(CollectiveKind::reduce_scatter, static_cast<double>(padded_bytes), "reduce-scatter",
                         post_backward_);
    recorder_.reset(padded);
    recorder_.reset(cast);
    return output;
  }

  void divide(TensorId tensor, StreamId stream) {
    recorder_.elementwise(2.0 * static_cast<double>(recorder_.bytes_of(tensor)), "divide grad", stream);
  }

  // In the parameters' own type, added to what earlier micro-steps left. Offloaded gradients stay on the device too,
  // until the end of backward.
  void keep(Unit& unit, TensorId reduced) {
    if (reduce_ != original_) {
      const std::int64_t bytes = unit.shard * size_of(original_);
      const TensorId cast = recorder_.allocate(Category::gradients, bytes, "flat grad shard", post_reduce_);
      recorder_.elementwise(static_cast<double>(bytes + recorder_.bytes_of(reduced)), "cast grad", post_reduce_);
      recorder_.release(reduced);
      reduced = cast;
    }
    if (unit.sharded_gradient.valid()) {
      recorder_.elementwise(3.0 * static_cast<double>(recorder_.bytes_of(reduced)), "accumulate grad", post_reduce_);
      recorder_.release(reduced);
    } else {
      unit.sharded_gradient = reduced;
    }
    if (offload_) {
      recorder_.copy(Direction::to_host, static_cast<double>(recorder_.bytes_of(unit.sharded_gradient)), true,
                     "download grad", post_reduce_);
    }
  }

  // The optimizer sees the shard of each unit's flat parameter.
  std::vector<OptimizedTensor> optimized_shards() const {
    std::vector<OptimizedTensor> shards;
    for (const Unit& unit : units_) {
      if (unit.trained) shards.push_back(flat_partition(unit.optimized, original_));
    }
    return shards;
  }

  bool reshard_after_forward_;
  StreamId pre_unshard_, unshard_, post_backward_;
  std::vector<Unit> units_;  ///< [0] is the root, then the decoder layers, then what is trained beside frozen ones
  std::vector<std::size_t> unit_of_module_, unit_of_parameter_;
  std::vector<std::size_t> known_order_;     ///< of an earlier one
  std::deque<TaskId> freed_;                 ///< events after which a freed FlatParameter's memory is free
  std::optional<std::size_t> frozen_to_go_;  ///< a unit whose inputs have their gradients
};

}  // namespace

std::unique_ptr<Strategy> make_fsdp1(const StrategyContext& context) { return std::make_unique<Fsdp1>(context); }

}  // namespace shardsim
