// The optimizers that update the parameters, and the state tensors that each keeps for a tensor.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/architecture.hpp"
#include "model/precision.hpp"

namespace shardsim {

enum class OptimizerKind : std::uint8_t {
  adamw,
  adamw_8bit,   ///< bitsandbytes, blockwise 8-bit moments
  paged_adamw,  ///< bitsandbytes, 32-bit moments in managed memory
  paged_adamw_8bit,
  adamw_bf16,  ///< moments in bf16
  adafactor,   ///< of transformers, without a first moment
  lion,        ///< bitsandbytes; DeepSpeed's own where it updates on the CPU
  lion_8bit,
  muon,  ///< torch.optim.Muon for hidden matrices, AdamW for everything else
  sgd,
  sgd_momentum,
};

/// True for the optimizers of bitsandbytes, which update one tensor after the other and wait for each.
bool is_bitsandbytes(OptimizerKind kind);
/// True where moments are blockwise 8-bit.
bool is_8bit(OptimizerKind kind);
/// True where states of large tensors lie in CUDA managed memory.
bool is_paged(OptimizerKind kind);
/// One line on what it is and keeps, for `shardsim list optimizers -v`.
std::string_view describe(OptimizerKind kind);

/// A tensor as the optimizer sees it: a parameter, the rows of one that a rank owns, or a flat partition of many.
struct OptimizedTensor {
  std::vector<std::int64_t> shape;
  DType type = DType::f32;      ///< of the tensor that is updated, and of its gradient
  bool embedding = false;       ///< the weight of an nn.Embedding
  bool head = false;            ///< the weight of the projection onto the vocabulary
  std::int64_t whole_rows = 0;  ///< of the matrix that FSDP2 shards by rows, where `shape` is a rank's; 0: it is whole

  std::int64_t numel() const;
  std::int64_t bytes() const { return numel() * size_of(type); }
};

/// Every trained parameter of the architecture as a tensor of `type`, in registration order; empty ones (they lie on
/// another device of a device map) are left out.
std::vector<OptimizedTensor> optimized_parameters(const Architecture& architecture, DType type);
/// A flat partition of many parameters: one dimension, and nothing left that tells an embedding from a norm.
OptimizedTensor flat_partition(std::int64_t elements, DType type);

/// One tensor of an optimizer's state.
struct StateTensor {
  std::string_view name;  ///< as the optimizer's state dictionary calls it
  std::int64_t bytes = 0;
  bool paged = false;  ///< in managed memory: not from PyTorch's allocator
};

/// What the optimizer keeps for a tensor. Sources, read and run on a CPU (2026-11-21) for the numbers in the tests:
///  - AdamW, SGD, Muon (torch 2.13): moments in the tensor's type; SGD without momentum keeps nothing; Muon one
///  momentum
///    for matrices that are neither embedding nor head, AdamW's two for the rest;
///  - bitsandbytes 0.50.2 (optim/optimizer.py): one byte an element and an fp32 maximum for each 256 of them, a moment;
///    fp32 moments for tensors under 4096 elements, and for embeddings, which the Hugging Face Trainer registers so;
///    32-bit moments are fp32 whatever the tensor's type. Paged: the moments of 100 000 elements or more, not the
///    maxima;
///  - Adafactor (transformers 5.23, optimization.py): in fp32 one factor for each row and column of the last two
///    dimensions and a scalar; for vectors the full second moment and the scalar;
///  - adamw_bf16: AdamW's two in bf16 (torchtitan, `fused_opt_states_bf16`; DeepSpeed, `bf16_optimizer_states`).
std::vector<StateTensor> state_tensors(OptimizerKind kind, const OptimizedTensor& tensor);
/// Kept once for all tensors: bitsandbytes' quantization maps, 256 fp32 values each.
std::vector<StateTensor> shared_state_tensors(OptimizerKind kind);
/// All that the optimizer keeps for these tensors.
std::int64_t state_bytes(OptimizerKind kind, const std::vector<OptimizedTensor>& tensors);

/// True for the tensors that Muon orthogonalizes: two-dimensional, neither embedding nor head.
bool is_hidden_matrix(const OptimizedTensor& tensor);

}  // namespace shardsim
