#include "sim/plan/cpu_optimizer.hpp"

#include <algorithm>
#include <utility>

namespace shardsim {

namespace {

/// An update that is written in PyTorch's operators, one after the other, each of which passes over memory: bytes an
/// element, counted operator by operator for fp32 weights. bitsandbytes 0.50, backends/cpu/ops.py: 8-bit states are
/// expanded to fp32 and compressed again, tensor by tensor. Adafactor: transformers/optimization.py, on flat tensors.
struct Unfused {
  double traffic = 0;
  std::int64_t temporaries = 0;  ///< of one tensor at its fullest
};

Unfused unfused_of(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::adamw_8bit:
    case OptimizerKind::paged_adamw_8bit:
      return {124, 20};  // both states, the scaled gradient, the root and the denominator
    case OptimizerKind::lion_8bit:
      return {102, 20};  // the state, the scaled gradient, two products and their sum
    case OptimizerKind::paged_adamw:
      return {96, 12};  // the scaled gradient, the root's denominator and the update
    case OptimizerKind::lion:
      return {76, 12};
    case OptimizerKind::adafactor:
      return {100, 8};  // the squared gradient, the update
    default:
      return {};
  }
}

}  // namespace

std::int64_t host_moments(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::sgd:
      return 0;
    case OptimizerKind::sgd_momentum:
    case OptimizerKind::lion:
      return 1;
    default:
      return 2;
  }
}

CpuOptimizer::CpuOptimizer(Recorder& recorder, OptimizerKind kind, std::vector<OptimizedTensor> tensors)
    : recorder_(recorder), kind_(kind), tensors_(std::move(tensors)), has_states_(tensors_.size(), false) {}

std::int64_t CpuOptimizer::bytes_of_states(std::size_t index) const {
  if (kind_ == OptimizerKind::lion) return tensors_[index].bytes();
  std::int64_t sum = 0;
  for (const StateTensor& state : state_tensors(kind_, tensors_[index])) sum += state.bytes;
  return sum;
}

void CpuOptimizer::create_states(std::size_t index) {
  if (has_states_[index]) return;
  has_states_[index] = true;
  const std::int64_t bytes = bytes_of_states(index);
  if (bytes > 0) recorder_.allocate_host(Pool::pageable, Category::optimizer, bytes, "moments");
}

// Weights, gradients and states are read, weights and states written; cores update so many parameters a second.
void CpuOptimizer::work(std::int64_t elements, double bytes) {
  if (elements == 0) return;
  const Host& host = recorder_.cluster().topology().hosts.front();  // all are equal
  const double cores = static_cast<double>(host.cores) / static_cast<double>(recorder_.ranks_on_host());
  const double limit =
      std::max(cores, 1.0) * host.cpu.optimizer_parameters_per_core_second * bytes / static_cast<double>(elements);
  recorder_.host_work(bytes, limit, "cpu optimizer");
}

void CpuOptimizer::step(double extra_bytes) {
  const Unfused unfused = unfused_of(kind_);
  std::int64_t elements = 0, largest = 0;
  double bytes = 0;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    create_states(i);
    elements += tensors_[i].numel();
    largest = std::max(largest, tensors_[i].numel());
    bytes += unfused.traffic > 0
                 ? unfused.traffic * static_cast<double>(tensors_[i].numel())
                 : 3 * static_cast<double>(tensors_[i].bytes()) + 2 * static_cast<double>(bytes_of_states(i));
  }
  TensorId temporaries;
  if (unfused.temporaries > 0) {
    temporaries = recorder_.allocate_host(Pool::pageable, Category::workspace, unfused.temporaries * largest,
                                          "optimizer temporaries");
  }
  work(elements, bytes + extra_bytes * static_cast<double>(elements));
  recorder_.reset(temporaries);
}

void CpuOptimizer::step_tensor(std::size_t index, double extra_bytes) {
  create_states(index);
  step_swapped_tensor(index, extra_bytes);
}

void CpuOptimizer::step_swapped_tensor(std::size_t index, double extra_bytes) {
  const std::int64_t elements = tensors_[index].numel();
  work(elements, 3 * static_cast<double>(tensors_[index].bytes()) + 2 * static_cast<double>(bytes_of_states(index)) +
                     extra_bytes * static_cast<double>(elements));
}

}  // namespace shardsim
