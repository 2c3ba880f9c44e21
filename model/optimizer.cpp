#include "model/optimizer.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "model/core/units.hpp"

namespace shardsim {
namespace {

constexpr std::int64_t least_elements_in_8bit = 4096;  // min_8bit_size
constexpr std::int64_t least_elements_paged = 100'000;
constexpr std::int64_t elements_a_block = 256;
constexpr std::int64_t quantization_map_bytes = 256 * 4;

void add_bitsandbytes_moment(std::vector<StateTensor>& states, OptimizerKind kind, const OptimizedTensor& tensor,
                             std::string_view moment, std::string_view maxima) {
  const std::int64_t elements = tensor.numel();
  const bool narrow = is_8bit(kind) && elements >= least_elements_in_8bit && !tensor.embedding;
  const bool paged = is_paged(kind) && elements >= least_elements_paged;
  states.push_back({moment, narrow ? elements : 4 * elements, paged});
  if (narrow) states.push_back({maxima, 4 * ceil_div(elements, elements_a_block), false});
}

std::vector<StateTensor> adafactor_states(const OptimizedTensor& tensor) {
  const std::int64_t elements = tensor.numel();
  if (tensor.shape.size() < 2 || elements == 0) return {{"exp_avg_sq", 4 * elements}, {"RMS", 4}};
  const std::int64_t columns = tensor.shape.back();
  const std::int64_t rows = tensor.shape[tensor.shape.size() - 2];
  return {{"exp_avg_sq_row", 4 * (elements / columns)}, {"exp_avg_sq_col", 4 * (elements / rows)}, {"RMS", 4}};
}

/// The head is the last matrix product outside of the layers, as transformers builds its models.
ModuleId head_of(const Architecture& architecture) {
  ModuleId head;
  for (std::size_t i = 0; i < architecture.modules.size(); ++i) {
    const Module& module = architecture.modules[i];
    if (module.layer < 0 && module.kind == ModuleKind::linear) head = ModuleId(i);
  }
  return head;
}

}  // namespace

bool is_bitsandbytes(OptimizerKind kind) { return is_8bit(kind) || is_paged(kind) || kind == OptimizerKind::lion; }

bool is_8bit(OptimizerKind kind) {
  return kind == OptimizerKind::adamw_8bit || kind == OptimizerKind::paged_adamw_8bit ||
         kind == OptimizerKind::lion_8bit;
}

bool is_paged(OptimizerKind kind) {
  return kind == OptimizerKind::paged_adamw || kind == OptimizerKind::paged_adamw_8bit;
}

std::string_view describe(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::adamw:
      return "PyTorch: two moments in the weights' type, 8 bytes a parameter in fp32";
    case OptimizerKind::adamw_8bit:
      return "bitsandbytes: two blockwise 8-bit moments, about 2 bytes a parameter";
    case OptimizerKind::paged_adamw:
      return "bitsandbytes: two fp32 moments in managed memory, which moves to CPU memory under pressure";
    case OptimizerKind::paged_adamw_8bit:
      return "bitsandbytes: two 8-bit moments in managed memory";
    case OptimizerKind::adamw_bf16:
      return "two moments in bf16, 4 bytes a parameter";
    case OptimizerKind::adafactor:
      return "transformers: a factored second moment in fp32, next to nothing for matrices";
    case OptimizerKind::lion:
      return "bitsandbytes: one fp32 moment, 4 bytes a parameter";
    case OptimizerKind::lion_8bit:
      return "bitsandbytes: one blockwise 8-bit moment, about 1 byte a parameter";
    case OptimizerKind::muon:
      return "PyTorch: one moment for hidden matrices, which it orthogonalizes; AdamW for the rest";
    case OptimizerKind::sgd:
      return "PyTorch: no state";
    case OptimizerKind::sgd_momentum:
      return "PyTorch: one momentum in the weights' type";
  }
  return "";
}

std::int64_t OptimizedTensor::numel() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::vector<OptimizedTensor> optimized_parameters(const Architecture& architecture, DType type) {
  std::vector<OptimizedTensor> tensors;
  for (const Parameter& parameter : architecture.parameters) tensors.push_back({parameter.shape, type});
  const ModuleId head = head_of(architecture);
  for (std::size_t i = 0; i < architecture.modules.size(); ++i) {
    const Module& module = architecture.modules[i];
    for (const ParameterId parameter : module.parameters) {
      if (module.kind == ModuleKind::embedding) tensors[parameter.index()].embedding = true;
      if (ModuleId(i) == head) tensors[parameter.index()].head = true;
    }
  }
  std::vector<OptimizedTensor> trained;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Parameter& parameter = architecture.parameters[i];
    if (parameter.trainable && parameter.numel > 0) trained.push_back(std::move(tensors[i]));
  }
  return trained;
}

OptimizedTensor flat_partition(std::int64_t elements, DType type) { return {{elements}, type}; }

bool is_hidden_matrix(const OptimizedTensor& tensor) {
  return tensor.shape.size() == 2 && !tensor.embedding && !tensor.head;
}

std::vector<StateTensor> state_tensors(OptimizerKind kind, const OptimizedTensor& tensor) {
  const std::int64_t bytes = tensor.bytes();
  std::vector<StateTensor> states;
  switch (kind) {
    case OptimizerKind::adamw:
      return {{"exp_avg", bytes}, {"exp_avg_sq", bytes}};
    case OptimizerKind::adamw_bf16:
      return {{"exp_avg", 2 * tensor.numel()}, {"exp_avg_sq", 2 * tensor.numel()}};
    case OptimizerKind::adamw_8bit:
    case OptimizerKind::paged_adamw:
    case OptimizerKind::paged_adamw_8bit:
      add_bitsandbytes_moment(states, kind, tensor, "state1", "absmax1");
      add_bitsandbytes_moment(states, kind, tensor, "state2", "absmax2");
      return states;
    case OptimizerKind::lion:
    case OptimizerKind::lion_8bit:
      add_bitsandbytes_moment(states, kind, tensor, "state1", "absmax1");
      return states;
    case OptimizerKind::adafactor:
      return adafactor_states(tensor);
    case OptimizerKind::muon:
      if (is_hidden_matrix(tensor)) return {{"momentum_buffer", bytes}};
      return state_tensors(OptimizerKind::adamw, tensor);
    case OptimizerKind::sgd:
      return {};
    case OptimizerKind::sgd_momentum:
      return {{"momentum_buffer", bytes}};
  }
  return states;
}

std::vector<StateTensor> shared_state_tensors(OptimizerKind kind) {
  if (!is_8bit(kind)) return {};
  if (kind == OptimizerKind::lion_8bit) return {{"qmap1", quantization_map_bytes}};
  return {{"qmap1", quantization_map_bytes}, {"qmap2", quantization_map_bytes}};
}

std::int64_t state_bytes(OptimizerKind kind, const std::vector<OptimizedTensor>& tensors) {
  std::int64_t sum = 0;
  for (const StateTensor& state : shared_state_tensors(kind)) sum += state.bytes;
  for (const OptimizedTensor& tensor : tensors) {
    for (const StateTensor& state : state_tensors(kind, tensor)) sum += state.bytes;
  }
  return sum;
}

}  // namespace shardsim
