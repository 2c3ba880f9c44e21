#include "sim/plan/adamw.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "sim/cost/host_time.hpp"

namespace shardsim {
namespace {

// Reads and writes of one element's size: fused p, g, m, v in and p, m, v out; foreach: weight decay 2, lerp 3, mul 2,
// addcmul 4, sqrt 2, div 2, add 2, addcdiv 4.
constexpr double fused_passes = 7;
constexpr double foreach_passes = 21;
constexpr int for_loop_kernels = 8;

}  // namespace

AdamW::AdamW(Recorder& recorder, OptimizerImpl implementation, DType type, std::vector<std::int64_t> elements)
    : recorder_(recorder),
      implementation_(implementation),
      type_(type),
      elements_(std::move(elements)),
      has_moments_(elements_.size(), false) {}

void AdamW::create_moments(std::size_t index) {
  if (has_moments_[index]) return;
  has_moments_[index] = true;
  const std::int64_t bytes = elements_[index] * size_of(type_);
  recorder_.allocate(Category::optimizer, bytes, "exp_avg");
  recorder_.allocate(Category::optimizer, bytes, "exp_avg_sq");
  recorder_.elementwise(2 * static_cast<double>(bytes), "zero moments");
}

// One multi-tensor call over `tensors` tensors of `elements` elements together.
void AdamW::update(std::int64_t elements, std::size_t tensors) {
  const double bytes = static_cast<double>(elements * size_of(type_));
  if (implementation_ == OptimizerImpl::fused) {
    recorder_.elementwise(fused_passes * bytes, "adamw");
    return;
  }
  const TensorId roots = recorder_.allocate(Category::workspace, elements * size_of(type_), "foreach temporaries");
  // A multi-tensor launch takes about a hundred tensors; eight operations each.
  const std::size_t launches = 8 * (1 + tensors / 100);
  for (std::size_t i = 0; i < launches; ++i) {
    recorder_.elementwise(foreach_passes * bytes / static_cast<double>(launches), "adamw");
  }
  recorder_.release(roots);
}

// The root and its quotient; `denominator` is the Python variable that keeps the last tensor's until it holds the next.
void AdamW::update_one(std::int64_t elements, TensorId& denominator) {
  const std::int64_t bytes = elements * size_of(type_);
  const TensorId root = recorder_.allocate(Category::workspace, bytes, "adamw root");
  const TensorId quotient = recorder_.allocate(Category::workspace, bytes, "adamw denominator");
  recorder_.release(root);
  recorder_.reset(denominator);
  denominator = quotient;
  for (int i = 0; i < for_loop_kernels; ++i) {
    recorder_.elementwise(foreach_passes * static_cast<double>(bytes) / for_loop_kernels, "adamw");
  }
}

void AdamW::step() {
  if (elements_.empty()) return;
  for (std::size_t i = 0; i < elements_.size(); ++i) create_moments(i);
  if (implementation_ == OptimizerImpl::for_loop) {
    TensorId denominator;
    for (const std::int64_t elements : elements_) update_one(elements, denominator);
    recorder_.reset(denominator);
  } else {
    update(std::accumulate(elements_.begin(), elements_.end(), std::int64_t{0}), elements_.size());
  }
}

void AdamW::step_tensor(std::size_t index) {
  create_moments(index);
  if (implementation_ == OptimizerImpl::for_loop) {
    TensorId denominator;
    update_one(elements_[index], denominator);
    recorder_.reset(denominator);
  } else {
    update(elements_[index], 1);
  }
}

void clip_gradients(Recorder& recorder, double bytes, bool sharded) {
  recorder.elementwise(bytes, "gradient norm");
  if (sharded) recorder.collective(CollectiveKind::all_reduce, 4, "all-reduce norm", Recorder::compute_stream());
  recorder.wait(Recorder::compute_stream(), recorder.last_collective());
  recorder.elementwise(2 * bytes, "clip");
}

void cpu_adam(Recorder& recorder, std::int64_t elements, double extra_bytes) {
  const Host& host = recorder.cluster().topology().hosts[recorder.device().host.index()];
  const double cores = static_cast<double>(host.cores) / static_cast<double>(recorder.ranks_on_host());
  const double bytes = static_cast<double>(elements) * (cpu_adam_bytes + extra_bytes);
  const double limit =
      std::max(cores, 1.0) * host.cpu.optimizer_parameters_per_core_second * (cpu_adam_bytes + extra_bytes);
  recorder.host_work(bytes, limit, "cpu adam");
}

}  // namespace shardsim
