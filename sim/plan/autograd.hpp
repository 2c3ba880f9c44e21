// Runs a graph forward and backward as PyTorch's eager mode and its autograd engine would, telling the strategy's hooks
// and recording every kernel, allocation and free in the host thread's order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/architecture.hpp"
#include "model/graph_amounts.hpp"
#include "model/operators.hpp"
#include "sim/plan/checkpointing.hpp"
#include "sim/plan/recorder.hpp"
#include "sim/plan/strategy.hpp"

namespace shardsim {

/// One micro-step's tape. Rules (torch/csrc/autograd/engine.cpp, input_buffer.cpp, functions/accumulate_grad.h):
/// - a value's storage lives while Python or a saved variable refers to it;
/// - a node runs when all gradients of its outputs have been summed; it allocates its inputs' gradients, then its
///   outputs' gradients and saved variables are dropped;
/// - gradients that arrive for one tensor are summed into the first when nothing else refers to its storage, else into
/// a
///   new one. A gradient that a matrix product gave was reshaped or transposed on its way, and this view refers to its
///   base (input_buffer.cpp, `can_accumulate_inplace`): the first sum over products' gradients is a new tensor, and so
///   is that of a tied weight's;
/// - a parameter's gradient is complete when its last use has run backward; then the strategy's hook fires at once;
/// - a checkpointed decoder layer keeps its inputs and the outputs of its cached operators only, and runs its forward
///   again before its backward, to its end or up to the last operator that saves something (torch/utils/checkpoint.py);
///   reentrant checkpoints hold its recomputed output meanwhile.
class Autograd {
 public:
  /// All but `gradient_type` outlive it.
  Autograd(const Architecture& architecture, const Graph& graph, const Recomputation& recomputation,
           DType gradient_type, Recorder& recorder, Strategy& strategy);

  void forward();
  void backward();
  /// FLOPs that checkpointing has executed a second time so far.
  double recomputed_flops() const { return recomputed_flops_; }

 private:
  struct ValueState {
    TensorId storage;
    std::int32_t owners = 0;  ///< Python's reference and one for each saving operator
    std::uint32_t gradient = no_gradient;
  };
  /// A gradient's storage: several values may share one (the two sides of a residual add).
  struct GradientBuffer {
    TensorId storage;
    std::int32_t owners = 0;
    bool is_view = false;
  };
  static constexpr std::uint32_t no_gradient = ~0U;
  struct BackwardStep {
    enum class Kind : std::uint8_t { enter, leave, run } kind = Kind::run;
    std::uint32_t index = 0;
  };

  std::size_t index_of(const Operator& op) const { return static_cast<std::size_t>(&op - graph_.operators.data()); }
  const std::string& place_of(const Operator& op) const { return places_[index_of(op)]; }
  /// Launches an operator's kernels; `amount` is the first one's.
  void run_kernels(const std::vector<Kernel>& kernels, const std::string& name, AmountId amount) {
    for (const Kernel& kernel : kernels) recorder_.kernel_from_graph(kernel, name, amount++);
  }
  static Category category_of(const Value& value);
  bool is_decoder_layer(const Module& module) const;

  // Once, before anything runs: autograd_tape.cpp.
  /// The module's name within its decoder layer, which the recorder knows.
  std::string_view name_in_layer(ModuleId module) const;
  void name_places();
  void order_backward();
  void count_uses();
  void find_layers();

  // Forward and its repetition.
  void run_forward(const Operator& op, bool saving);
  void read_scalar(const Operator& op);
  void keep_saved(const Operator& op);
  void drop(ValueId value);
  void recompute(ModuleId layer);
  void run_again(std::uint32_t op);
  /// After a checkpointed layer's backward.
  void leave_recomputed(std::int32_t layer);
  /// At the end of backward.
  void let_retained_go();

  // Gradients: autograd_gradients.cpp.
  void run_backward(const Operator& op);
  void backpropagate(const Operator& op);
  void hand_over(const Operator& op);
  void receive_gradient(ValueId value, std::uint32_t buffer);
  void release_gradient(std::uint32_t buffer);
  std::vector<TensorId> allocate_parameter_gradients(const Operator& op);
  void receive_parameter_gradient(const Operator& op, ParameterId parameter, TensorId gradient);

  bool is_checkpointed(const Module& layer) const {
    return layer.layer >= 0 && recomputation_.layers[static_cast<std::size_t>(layer.layer)];
  }
  void locate(Phase phase, ModuleId module, const char* place);

  const Architecture& architecture_;
  const Graph& graph_;
  const Recomputation& recomputation_;
  DType gradient_type_;
  Recorder& recorder_;
  Strategy& strategy_;
  AmountIndex amounts_;

  std::vector<ValueState> values_;
  std::vector<std::string> places_;  ///< by OperatorId: what its tensors are called
  std::vector<GradientBuffer> gradients_;
  std::vector<BackwardStep> backward_order_;
  std::vector<std::int32_t> parameter_uses_;  ///< operators that give each parameter a gradient
  std::vector<std::int32_t> parameter_uses_left_;
  std::vector<GradientBuffer> parameter_gradients_;
  /// Of each decoder layer, for checkpointing: the range of its steps in Graph::forward, the values that come from
  /// outside, those that something outside holds on to (the layer's output, autocast's copies of weights), and the step
  /// after which recomputation may stop.
  struct LayerRange {
    std::size_t begin = 0, end = 0, last_save = 0;
    bool last_saves_output = false;
    std::vector<ValueId> inputs, escaping;
    std::vector<ValueId> outputs;  ///< of what escapes: what a later layer or the head reads
    bool reruns(std::size_t step) const { return step < last_save || (step == last_save && last_saves_output); }
  };
  std::vector<LayerRange> layers_;
  std::vector<ValueId> recomputed_outputs_;  ///< of the layer whose backward runs, under reentrant checkpoints
  std::vector<TensorId> retained_;           ///< layers' inputs
  std::vector<std::uint32_t> retained_gradients_;
  double recomputed_flops_ = 0;
};

}  // namespace shardsim
