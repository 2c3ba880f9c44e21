#include "sim/plan/cpu_optimizer.hpp"

#include <algorithm>
#include <utility>

#include "sim/cost/constants.hpp"

namespace shardsim {

namespace {

/// An update that is written in PyTorch's operators, one after the other, each of which passes over memory: bytes an
/// element, counted operator by operator for fp32 weights. bitsandbytes 0.50, backends/cpu/ops.py: 8-bit states are
/// expanded to fp32 and compressed again, tensor by tensor. Adafactor: transformers/optimization.py, on flat tensors.
struct Unfused {
  double traffic = 0;
  std::int64_t temporaries = 0;  ///< of one tensor at its fullest
};

/// AdamW: torch/optim/adamw.py, _single_tensor_adamw, which foreach comes to on a CPU; DeepSpeed has a kernel of its
/// own.
Unfused unfused_of(const Request& request) {
  switch (request.optimizer) {
    case OptimizerKind::adamw:
      if (!is_fsdp(request.kind) || request.optimizer_impl == OptimizerImpl::fused) return {};
      return {80, 8};  // the root and the denominator
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

CpuOptimizer::CpuOptimizer(Recorder& recorder, const Request& request, std::vector<OptimizedTensor> tensors)
    : recorder_(recorder),
      request_(request),
      kind_(request.optimizer),
      tensors_(std::move(tensors)),
      has_states_(tensors_.size(), false) {}

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

// Weights, gradients and states are read, weights and states written. A core moves so many bytes a second through one
// kernel, and updates so many parameters where the update is written in PyTorch's operators.
void CpuOptimizer::work(std::int64_t elements, double bytes) {
  if (elements == 0) return;
  const Host& host = recorder_.cluster().topology().hosts.front();  // all are equal
  const double share = std::max(1.0, static_cast<double>(host.cores) / static_cast<double>(recorder_.ranks_on_host()));
  const double threads = std::min(share, static_cast<double>(*request_.cpu_threads));
  const double limit = unfused_of(request_).traffic > 0
                           ? host.cpu.optimizer_parameters_per_core_second * bytes / static_cast<double>(elements)
                           : cost_constants().cpu_core_bandwidth;
  recorder_.host_work(bytes, threads * limit, "cpu optimizer");
}

void CpuOptimizer::step(double extra_bytes) {
  const Unfused unfused = unfused_of(request_);
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
