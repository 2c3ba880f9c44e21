// DeepSpeed's BF16_Optimizer (deepspeed/runtime/bf16_optimizer.py), which the engine takes for ZeRO stage 1 in bf16
// when data_types.grad_accum_dtype is fp32.
//
// Weights in one flat bf16 buffer a parameter group, an fp32 master and the moments of the rank's own partition; and
// fp32 gradients of the WHOLE model, which stay for good and take each micro-step's bf16 gradients in after its
// backward. The bf16 gradients stay too, from the first backward through the step, zeroed in place. After the last
// backward each group's gradients are all-reduced at once, cast to the communication type, with nothing to overlap.
#include <memory>
#include <utility>

#include "sim/plan/deepspeed.hpp"
#include "sim/plan/optimizer.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

constexpr std::int64_t master_bytes = 4;
constexpr std::int64_t weight_bytes = 2;

class Bf16Optimizer : public Strategy {
 public:
  explicit Bf16Optimizer(const StrategyContext& context)
      : request_(context.request),
        architecture_(context.architecture),
        recorder_(context.recorder),
        groups_(flat_groups(context.architecture, context.recorder.rank(), context.recorder.world())),
        gradients_(context.architecture.parameters.size()) {
    std::vector<OptimizedTensor> partitions;
    for (const FlatGroup& group : groups_) partitions.push_back(flat_partition(group.partition, DType::f32));
    optimizer_ = make_optimizer(context, std::move(partitions));
  }

  void initialise() override {
    for (const Parameter& parameter : architecture_.parameters) {
      if (!parameter.trainable) allocate_weight(recorder_, parameter, weight_type(request_.precision));
    }
    for (const FlatGroup& group : groups_) {
      recorder_.allocate(Category::weights, group.padded * weight_bytes, "flat weights");
      recorder_.allocate(Category::master_weights, group.partition * master_bytes, "master partition");
      recorder_.allocate(Category::gradients, group.padded * master_bytes, "flat fp32 grads");
    }
  }

  void begin_forward(std::int64_t /*micro_step*/, bool boundary) override { boundary_ = boundary; }

  void gradient_ready(ParameterId parameter, TensorId gradient) override {
    TensorId& held = gradients_[parameter.index()];
    if (!held.valid()) {
      held = gradient;
      return;
    }
    recorder_.elementwise(3.0 * static_cast<double>(recorder_.bytes_of(held)), "accumulate grad");
    recorder_.release(gradient);
  }

  // update_hp_grads: added to the fp32 gradients, then zeroed.
  void end_backward() override {
    for (const Parameter& parameter : architecture_.parameters) {
      if (!parameter.trainable) continue;
      const double elements = static_cast<double>(parameter.numel);
      recorder_.elementwise((weight_bytes + 2.0 * master_bytes) * elements, "add to fp32 grad");
      recorder_.elementwise(weight_bytes * elements, "zero grad");
    }
    if (!boundary_) return;
    for (const FlatGroup& group : groups_) all_reduce(group);
  }

  void optimizer_step() override {
    const StreamId stream = Recorder::compute_stream();
    for (const FlatGroup& group : groups_) {
      recorder_.elementwise(static_cast<double>(group.partition * master_bytes), "norm");
    }
    recorder_.collective(CollectiveKind::all_reduce, 4, "all-reduce norm", stream);
    // assert all_groups_norm > 0.
    recorder_.synchronize(recorder_.copy(Direction::to_host, 4, true, "scalar", stream));
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      const double elements = static_cast<double>(groups_[i].partition);
      recorder_.elementwise(2.0 * master_bytes * elements, "clip");
      optimizer_->step_tensor(i);
      recorder_.elementwise((weight_bytes + master_bytes) * elements, "copy weights");
    }
    for (const FlatGroup& group : groups_) {
      recorder_.collective(CollectiveKind::all_gather, static_cast<double>(group.padded * weight_bytes),
                           "all-gather weights", stream);
      recorder_.elementwise(static_cast<double>(group.padded * master_bytes), "zero fp32 grads");
    }
    for (TensorId& gradient : gradients_) recorder_.reset(gradient);
  }

 private:
  // bf16 unless communication_data_type says fp32, in which case there is nothing to cast.
  void all_reduce(const FlatGroup& group) {
    const std::int64_t bytes = group.padded * size_of(*request_.reduce_dtype);
    TensorId cast;
    if (*request_.reduce_dtype != DType::f32) {
      cast = recorder_.allocate(Category::buffers, bytes, "gradients in communication type");
      recorder_.elementwise(static_cast<double>(bytes + group.padded * master_bytes), "cast gradients");
    }
    recorder_.elementwise(2.0 * static_cast<double>(bytes), "average");
    recorder_.collective(CollectiveKind::all_reduce, static_cast<double>(bytes), "all-reduce gradients",
                         Recorder::compute_stream());
    if (!cast.valid()) return;
    recorder_.elementwise(static_cast<double>(bytes + group.padded * master_bytes), "cast gradients back");
    recorder_.release(cast);
  }

  const Request& request_;
  const Architecture& architecture_;
  Recorder& recorder_;
  std::vector<FlatGroup> groups_;
  std::vector<TensorId> gradients_;  ///< bf16, by parameter
  std::unique_ptr<Optimizer> optimizer_;
  bool boundary_ = true;
};

}  // namespace

std::unique_ptr<Strategy> make_bf16_optimizer(const StrategyContext& context) {
  return std::make_unique<Bf16Optimizer>(context);
}

}  // namespace shardsim
