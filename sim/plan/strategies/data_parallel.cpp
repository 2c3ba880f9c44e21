// Whole replicas: one GPU alone, and PyTorch's DistributedDataParallel.
//
// DDP (torch/nn/parallel/distributed.py, torch/csrc/distributed/c10d/reducer.cpp): gradients are copied into buckets in
// the order in which they become ready; a full bucket is all-reduced on NCCL's own stream while backward goes on,
// strictly in bucket order; after backward the compute stream waits for all and the buckets are copied back
// (gradient_as_bucket_view=False). The first iteration uses one bucket, after it buckets are rebuilt in ready order
// with a first one of 1 MiB and others of 25 MiB, one type in each; a parameter is never split. Accumulation steps run
// under no_sync.
#include <map>
#include <utility>

#include "model/core/check.hpp"
#include "sim/cost/constants.hpp"
#include "sim/plan/optimizer.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

constexpr std::int64_t first_bucket_bytes = std::int64_t{1} << 20;
constexpr std::int64_t bucket_bytes = std::int64_t{25} << 20;

class DataParallel : public Strategy {
 public:
  explicit DataParallel(const StrategyContext& context)
      : architecture_(context.architecture),
        recorder_(context.recorder),
        weight_type_(weight_type(context.request.precision)),
        has_master_(keeps_master_weights(context.request.precision) && !context.architecture.adapted()),
        optimizer_(make_optimizer(context, optimized_tensors())),
        gradients_(context.architecture.parameters.size()) {}

  void initialise() override {
    for (const Parameter& parameter : architecture_.parameters) allocate_weight(recorder_, parameter, weight_type_);
    if (!has_master_) return;
    for (const Parameter& parameter : architecture_.parameters) {
      recorder_.allocate(Category::master_weights, parameter.numel * 4, "fp32 copy of " + parameter.name);
    }
  }

  void begin_forward(std::int64_t /*micro_step*/, bool boundary) override { boundary_ = boundary; }

  void gradient_ready(ParameterId parameter, TensorId gradient) override {
    TensorId& held = gradients_[parameter.index()];
    if (held.valid()) {
      recorder_.elementwise(3.0 * static_cast<double>(recorder_.bytes_of(held)), "accumulate grad");
      recorder_.release(gradient);
    } else {
      held = gradient;
    }
  }

  void optimizer_step() override {
    const double elements = static_cast<double>(architecture_.trainable_count());
    double gradient_bytes = 0;
    for (std::size_t i = 0; i < architecture_.parameters.size(); ++i) {
      if (architecture_.parameters[i].trainable) gradient_bytes += static_cast<double>(bytes_of_gradient(i));
    }
    std::vector<TensorId> master_gradients;
    if (has_master_) {
      for (const Parameter& parameter : architecture_.parameters) {
        master_gradients.push_back(recorder_.allocate(Category::gradients, parameter.numel * 4, "fp32 grad"));
      }
      recorder_.elementwise(gradient_bytes + 4 * elements, "cast gradients");
    }
    clip_gradients(recorder_, has_master_ ? 4 * elements : gradient_bytes, false);
    optimizer_->step();
    if (has_master_) recorder_.elementwise(4 * elements + gradient_bytes, "cast weights");
    for (const TensorId gradient : master_gradients) recorder_.release(gradient);
    for (TensorId& gradient : gradients_) recorder_.reset(gradient);
  }

 protected:
  /// A gradient has the type of its parameter: adapters are in fp32 or follow the base, PEFT's copies of modules are as
  /// the originals.
  DType type_of(std::size_t parameter) const { return architecture_.parameters[parameter].type.value_or(weight_type_); }
  std::int64_t bytes_of_gradient(std::size_t parameter) const {
    return architecture_.parameters[parameter].numel * size_of(type_of(parameter));
  }

  const Architecture& architecture_;
  Recorder& recorder_;
  DType weight_type_;
  bool boundary_ = true;

 private:
  std::vector<OptimizedTensor> optimized_tensors() const {
    std::vector<OptimizedTensor> tensors = optimized_parameters(architecture_, DType::f32);
    if (has_master_) return tensors;
    auto tensor = tensors.begin();
    for (std::size_t i = 0; i < architecture_.parameters.size(); ++i) {
      const Parameter& parameter = architecture_.parameters[i];
      if (parameter.trainable && parameter.numel > 0) (tensor++)->type = type_of(i);
    }
    return tensors;
  }

  bool has_master_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<TensorId> gradients_;
};

class DistributedDataParallel : public DataParallel {
 public:
  explicit DistributedDataParallel(const StrategyContext& context)
      : DataParallel(context), stream_(recorder_.stream("all-reduce")) {
    std::map<DType, Bucket> all;
    for (std::size_t i = 0; i < architecture_.parameters.size(); ++i) {
      if (architecture_.parameters[i].trainable) all[type_of(i)].parameters.push_back(i);
    }
    for (auto& [type, bucket] : all) buckets_.push_back(std::move(bucket));
  }

  void initialise() override {
    DataParallel::initialise();
    allocate_buckets();
  }

  void begin_forward(std::int64_t micro_step, bool boundary) override {
    DataParallel::begin_forward(micro_step, boundary);
    if (recorder_.step() > 0 && !rebuilt_) rebuild();
    if (!boundary) return;
    next_ = 0;
    for (Bucket& bucket : buckets_) bucket.missing = bucket.parameters.size();
  }

  void gradient_ready(ParameterId parameter, TensorId gradient) override {
    DataParallel::gradient_ready(parameter, gradient);
    if (!boundary_) return;
    if (!rebuilt_) ready_order_.push_back(parameter.index());
    const double bytes = static_cast<double>(bytes_of_gradient(parameter.index()));
    recorder_.elementwise(2 * bytes, "copy to bucket");
    --buckets_[bucket_of_[parameter.index()]].missing;
    while (next_ < buckets_.size() && buckets_[next_].missing == 0) reduce(buckets_[next_++]);
  }

  void end_backward() override {
    if (!boundary_) return;
    SHARDSIM_CHECK(next_ == buckets_.size(), "every parameter gets a gradient");
    recorder_.wait_stream(Recorder::compute_stream(), stream_);
    for (const Bucket& bucket : buckets_)
      recorder_.elementwise(2.0 * static_cast<double>(bucket.bytes), "copy from bucket");
  }

 private:
  struct Bucket {
    std::vector<std::size_t> parameters;
    std::int64_t bytes = 0;
    std::size_t missing = 0;
    TensorId buffer;
  };

  void allocate_buckets() {
    bucket_of_.assign(architecture_.parameters.size(), 0);
    for (std::size_t b = 0; b < buckets_.size(); ++b) {
      buckets_[b].bytes = 0;
      for (const std::size_t parameter : buckets_[b].parameters) {
        bucket_of_[parameter] = b;
        buckets_[b].bytes += bytes_of_gradient(parameter);
      }
      buckets_[b].buffer = recorder_.allocate(Category::buffers, buckets_[b].bytes, "ddp bucket");
    }
  }

  // compute_bucket_assignment_by_size: gradients of one type, and a bucket closes once it has reached its limit.
  void rebuild() {
    for (Bucket& bucket : buckets_) recorder_.reset(bucket.buffer);
    buckets_.clear();
    std::map<DType, Bucket> open;
    std::map<DType, std::int64_t> limits;
    for (const std::size_t parameter : ready_order_) {
      const DType type = type_of(parameter);
      Bucket& bucket = open[type];
      bucket.parameters.push_back(parameter);
      bucket.bytes += bytes_of_gradient(parameter);
      if (bucket.bytes < limits.try_emplace(type, first_bucket_bytes).first->second) continue;
      buckets_.push_back(std::exchange(bucket, {}));
      limits[type] = bucket_bytes;
    }
    for (auto& [type, bucket] : open) {
      if (!bucket.parameters.empty()) buckets_.push_back(std::move(bucket));
    }
    rebuilt_ = true;
    allocate_buckets();
  }

  void reduce(const Bucket& bucket) {
    recorder_.spend(cost_constants().hooks.ddp_bucket);
    recorder_.wait_stream(stream_, Recorder::compute_stream());
    recorder_.collective(CollectiveKind::all_reduce, static_cast<double>(bucket.bytes), "all-reduce gradients",
                         stream_);
  }

  StreamId stream_;
  std::vector<Bucket> buckets_;
  std::vector<std::size_t> bucket_of_;    ///< by parameter
  std::vector<std::size_t> ready_order_;  ///< of the first iteration
  std::size_t next_ = 0;                  ///< first bucket not yet reduced
  bool rebuilt_ = false;
};

}  // namespace

std::unique_ptr<Strategy> make_single(const StrategyContext& context) {
  return std::make_unique<DataParallel>(context);
}
std::unique_ptr<Strategy> make_ddp(const StrategyContext& context) {
  return std::make_unique<DistributedDataParallel>(context);
}

}  // namespace shardsim
