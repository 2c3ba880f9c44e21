// One forward pass as the operators that the framework really launches, with what each keeps for backward.
// The backward pass follows from it by the rules of autograd (sim/plan/autograd.hpp), so that saved bytes and
// transients are outcomes of the graph, never formulas.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/architecture.hpp"
#include "model/precision.hpp"

namespace shardsim {

using ValueId = Id<struct ValueTag>;
using OperatorId = Id<struct OperatorTag>;

enum class AttentionKind : std::uint8_t { flash, sdpa, eager };
enum class LossKind : std::uint8_t { eager, plain, chunked, fused };
enum class Implementation : std::uint8_t { hf, torchtitan, liger, foak, megatron };
/// transformers' modules, some of them patched or not: the loss is computed in the model's forward().
constexpr bool is_transformers(Implementation implementation) {
  return implementation == Implementation::hf || implementation == Implementation::liger ||
         implementation == Implementation::foak;
}

/// Versions of transformers that differ in their loss, each with the torch of its time:
/// - v4_45 (up to 4.45, torch 2.4) returns fp32 logits and copies all but each sequence's last token for the loss;
/// - v4_48 (from 4.46 on) returns 16-bit logits, and the loss takes the copy of fp32 ones of its own;
/// - v4_57 pads the labels instead and copies no logits.
/// Up to torch 2.4 `:` in an index is a slice that autograd records, whose backward zeroes and fills a tensor.
enum class Transformers : std::uint8_t { v4_45, v4_48, v4_57 };

/// What decides the graph besides the architecture.
struct GraphOptions {
  std::int64_t micro_batch = 1;
  std::int64_t seq_len = 4096;
  std::int64_t virtual_tokens = 0;  ///< of `seq_len`, those that prompt tuning puts in front
  Precision precision = Precision::bf16_mixed;
  AttentionKind attention = AttentionKind::flash;
  LossKind loss = LossKind::eager;
  Implementation implementation = Implementation::hf;
  Transformers transformers = Transformers::v4_57;  ///< whose loss transformers' modules compute
  bool autocast = false;          ///< around forward() although weights are in 16 bits (PEFT under HF's Trainer)
  bool keeps_outputs = false;     ///< the training loop names the model's outputs until backward is over
  bool converts_outputs = false;  ///< the logits that forward() returns are copied to fp32 by accelerate
  bool input_requires_gradient =
      false;                   ///< enable_input_require_grads: the frozen embedding's result takes part in backward
  double adapter_dropout = 0;  ///< on the input of each adapter
  bool compile = false;        ///< torch.compile of each decoder layer
  bool operator==(const GraphOptions&) const = default;
};

/// What bounds a kernel's time.
enum class KernelKind : std::uint8_t {
  matmul,     ///< tensor cores: m x n x k, `batch` times
  attention,  ///< fused attention over `seq` tokens, `heads` heads of `head_dim`, causal, `batch` sequences
  memory,     ///< elementwise, reduction, copy: bytes over memory bandwidth
};

/// One launched kernel. `flops` counts what is executed (causal attention: half the square);
/// `bytes` counts device memory read and written.
struct Kernel {
  KernelKind kind = KernelKind::memory;
  DType type = DType::bf16;
  double flops = 0;
  double bytes = 0;
  std::int64_t m = 0, n = 0, k = 0, batch = 1;    ///< matmul
  std::int64_t seq = 0, heads = 0, head_dim = 0;  ///< attention
  bool first_generation = false;                  ///< attention: FlashAttention 1
  bool backward = false;                          ///< attention: the backward kernel has its own efficiency
};

/// One storage that an operator writes. A view of a whole value shares its id; a part of one (a chunk of a fused
/// projection) is a value of 0 bytes with a gradient of its own, and what saves it saves its base.
struct Value {
  std::int64_t bytes = 0;
  bool needs_gradient = true;        ///< false: token ids, cos/sin, masks, norms' statistics
  bool is_logits = false;            ///< reported apart from the activations
  bool is_gradient = false;          ///< of a parameter, where forward computes it
  std::int64_t gradient_bytes = -1;  ///< of its gradient; -1: as `bytes`; 0: the kernel writes it over the value itself
  bool gradients_fused = false;      ///< several gradients of it are summed by the kernel that reads them
};

/// One autograd node (or a few fused by the framework into one).
///  forward:  reads `inputs`, allocates `outputs` and `scratch` bytes (freed at once), runs `forward` kernels;
///  saved:    the inputs and outputs (row statistics are outputs too) that it keeps for backward; a storage saved twice
///            is kept once;
///  backward: reads the gradients of `outputs`, allocates gradients of the inputs that need one, of its parameters
///            and `backward_scratch`, runs `backward` kernels (input gradients first, then `weight_backward`),
///            then drops the outputs' gradients and what it saved.
///  `passes_gradient`: residual add, rotation in place: the gradient of the output *is* that of each input; `backward`
///            kernels, if any, work in place.
/// Autocast's bf16 copy of a weight is an operator of its own ("cast_weight"): it has the parameter, its output is an
/// input of the product, and the gradient of that output becomes the parameter's.
/// The experts of a layer run as one grouped operator a projection, which has the parameters of all of them.
///  `gradients`: losses that run backward through the head chunk by chunk have all gradients when forward is over; they
///            save them, and backward does nothing but hand them over.
struct Operator {
  std::string name;  ///< "q_proj", "silu", "residual"
  ModuleId module;   ///< whose forward() runs it; the root for what runs outside of it (the plain loss)
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::vector<ValueId> saved;
  std::vector<ParameterId> parameters;
  std::vector<ValueId> gradients;  ///< empty, or saved ones: of the first input, then of each parameter
  std::vector<Kernel> forward;
  std::vector<Kernel> backward;
  std::vector<Kernel> weight_backward;  ///< left out where the parameter is frozen
  std::int64_t scratch = 0;
  std::int64_t backward_scratch = 0;
  bool passes_gradient = false;
  bool compiled = false;      ///< part of a compiled layer's one autograd node
  bool reads_scalar = false;  ///< .item(): the host waits for the device, in forward and again in backward
};

/// What forward() does, in order: hooks fire on enter and leave; a value in `drop` loses its last Python reference.
struct Step {
  enum class Kind : std::uint8_t { enter, leave, run, drop } kind = Kind::run;
  std::uint32_t index = 0;  ///< ModuleId, OperatorId or ValueId by kind
};

/// A whole forward pass. Values live from the operator that writes them until their `drop` step, and beyond it as
/// long as an operator saved them. The builder emits every drop, at the point where Python's scoping lets go:
/// a temporary right after its last use, a module's input when its caller returns or rebinds the name.
struct Graph {
  std::vector<Value> values;
  std::vector<Operator> operators;
  std::vector<Step> forward;
  std::vector<ValueId> kept;  ///< values that the training loop names until backward is over

  const Value& value(ValueId id) const { return values[id.index()]; }
  const Operator& op(OperatorId id) const { return operators[id.index()]; }
};

/// Follows the modules of transformers 4.57 under eager PyTorch (hf), or torchtitan's, Liger's and Megatron-LM's
/// replacements for norms, rotation, activations and dropout. foak stands for the fused kernels of Foundation Model
/// Stack's fms-acceleration (from Unsloth): norms and rotation as Liger's, whole adapters as one function each, the
/// gate of the mlp left to transformers. What hf's layers save is checked against the real modules
/// on a CPU (tests/model/graph_measured_test.cpp); the other implementations follow their source. Experts are loaded
/// evenly. The chunked loss is torchtitan's ChunkedLossWrapper, the fused one Liger's fused linear cross entropy,
/// whatever the implementation of the layers. `compile` rewrites the layers (graph_compile.hpp). Throws InputError for
/// empty batches, for sequences longer than a learned position table and for sequences that the chunked loss cannot
/// split evenly.
Graph build_graph(const Architecture& architecture, const GraphOptions& options);

/// Model FLOPs of one trained token, forward and backward, without recomputation:
/// 6 * (parameters in matrix products; 4 * for frozen ones, which need no gradient of their own)
/// + 12 * layers * q * seq_len (attention counted without the causal discount),
/// the convention of PaLM (Chowdhery et al. 2022, appendix B), which torchtitan and llm-foundry report. The head
/// counts, tied or not; tables that are looked up do not; of routed experts, those that a token visits.
double model_flops_per_token(const Architecture& architecture, std::int64_t seq_len);

/// Bytes that stay for backward after one decoder layer's forward ran: distinct storages that the layer's operators
/// saved, its own input and autocast's copies of its weights included; tables that all layers share (cos, sin) are left
/// out. For tests and for `explain`.
std::int64_t saved_bytes_of_layer(const Graph& graph, const Architecture& architecture, std::int64_t layer);

}  // namespace shardsim
