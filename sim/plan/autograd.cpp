#include "sim/plan/autograd.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "model/core/check.hpp"

namespace shardsim {

Autograd::Autograd(const Architecture& architecture, const Graph& graph, const Recomputation& recomputation,
                   DType gradient_type, Recorder& recorder, Strategy& strategy)
    : architecture_(architecture),
      graph_(graph),
      recomputation_(recomputation),
      gradient_type_(gradient_type),
      recorder_(recorder),
      strategy_(strategy),
      amounts_(graph),
      values_(graph.values.size()),
      parameter_uses_(architecture.parameters.size(), 0),
      parameter_gradients_(architecture.parameters.size()) {
  name_places();
  count_uses();
  find_layers();
  order_backward();
}

Category Autograd::category_of(const Value& value) {
  if (value.is_gradient) return Category::gradients;
  return value.is_logits ? Category::logits : Category::activations;
}

bool Autograd::is_decoder_layer(const Module& module) const {
  return module.layer >= 0 && (!module.parent.valid() || architecture_.module(module.parent).layer < 0);
}

void Autograd::locate(Phase phase, ModuleId id, const char* verb) {
  const Module& module = architecture_.module(id);
  if (is_decoder_layer(module)) {
    recorder_.mark(phase, module.layer, verb);
  } else if (module.layer < 0 && module.children.empty()) {
    recorder_.mark(phase, -1, module.name);
  }
}

void Autograd::forward() {
  parameter_uses_left_ = parameter_uses_;
  recorder_.mark(Phase::forward, -1, "begin");
  std::int32_t layer = -1;
  for (const Step& step : graph_.forward) {
    switch (step.kind) {
      case Step::Kind::enter: {
        const ModuleId module(step.index);
        locate(Phase::forward, module, "forward");
        strategy_.pre_forward(module);
        if (layer < 0 && is_checkpointed(architecture_.module(module))) {
          layer = architecture_.module(module).layer;
          for (const ValueId input : layers_[static_cast<std::size_t>(layer)].inputs) ++values_[input.index()].owners;
        }
        break;
      }
      case Step::Kind::leave: {
        const ModuleId module(step.index);
        strategy_.post_forward(module);
        if (is_decoder_layer(architecture_.module(module))) {
          layer = -1;
          recorder_.mark(Phase::forward, -1, "between layers");
        }
        break;
      }
      case Step::Kind::run: {
        const Operator& op = graph_.operators[step.index];
        run_forward(op, layer < 0);
        if (layer < 0 || !recomputation_.cached[step.index]) break;
        for (const ValueId output : op.outputs) ++values_[output.index()].owners;
        break;
      }
      case Step::Kind::drop:
        drop(ValueId(step.index));
        break;
    }
  }
}

void Autograd::read_scalar(const Operator& op) {
  if (op.reads_scalar) recorder_.synchronize_stream(Recorder::compute_stream());
}

void Autograd::run_forward(const Operator& op, bool saving) {
  read_scalar(op);
  const std::string& place = place_of(op);
  for (const ValueId output : op.outputs) {
    ValueState& state = values_[output.index()];
    const Value& value = graph_.value(output);
    SHARDSIM_CHECK(state.owners == 0, "a value is written when nobody holds an older one");
    state.owners = 1;
    state.storage = recorder_.allocate_from_graph(category_of(value), value.bytes, place, amounts_.value(output));
  }
  TensorId scratch;
  if (op.scratch > 0) {
    scratch = recorder_.allocate_from_graph(Category::workspace, op.scratch, place, amounts_.scratch(index_of(op)));
  }
  run_kernels(op.forward, op.name, amounts_.forward(index_of(op)));
  recorder_.reset(scratch);
  if (saving) keep_saved(op);
}

void Autograd::keep_saved(const Operator& op) {
  for (const ValueId saved : op.saved) ++values_[saved.index()].owners;
}

void Autograd::drop(ValueId value) {
  ValueState& state = values_[value.index()];
  SHARDSIM_CHECK(state.owners > 0, "a value is dropped once by each owner");
  if (--state.owners == 0) recorder_.reset(state.storage);
}

void Autograd::backward() {
  recorder_.mark(Phase::backward, -1, "loss");
  strategy_.begin_backward();
  for (const BackwardStep& step : backward_order_) {
    if (step.kind == BackwardStep::Kind::run) {
      run_backward(graph_.operators[step.index]);
      continue;
    }
    const ModuleId id(step.index);
    const Module& module = architecture_.module(id);
    const bool is_layer = is_decoder_layer(module);
    if (step.kind == BackwardStep::Kind::enter) {
      locate(Phase::backward, id, "backward");
      const bool checkpointed = is_layer && is_checkpointed(module);
      if (checkpointed && !strategy_.hooks_precede_recomputation()) recompute(id);
      strategy_.pre_backward(id);
      if (checkpointed && strategy_.hooks_precede_recomputation()) recompute(id);
    } else {
      strategy_.post_backward(id);
      if (!is_layer) continue;
      if (is_checkpointed(module)) {
        leave_recomputed(module.layer);
      }
      recorder_.mark(Phase::backward, -1, "between layers");
    }
  }
  let_retained_go();
  for (const ValueId value : graph_.kept) drop(value);
}

void Autograd::leave_recomputed(std::int32_t layer) {
  for (const ValueId output : std::exchange(recomputed_outputs_, {})) drop(output);
  for (const ValueId input : layers_[static_cast<std::size_t>(layer)].inputs) {
    ValueState& state = values_[input.index()];
    if (!recomputation_.retains_inputs || state.gradient == no_gradient || state.owners != 1) {
      drop(input);
      continue;
    }
    // The layer below will write its output anew: only the storage is kept.
    state.owners = 0;
    retained_.push_back(std::exchange(state.storage, TensorId{}));
    ++gradients_[state.gradient].owners;
    retained_gradients_.push_back(state.gradient);
  }
}

void Autograd::let_retained_go() {
  for (const TensorId input : std::exchange(retained_, {})) recorder_.release(input);
  for (const std::uint32_t gradient : std::exchange(retained_gradients_, {})) release_gradient(gradient);
}

// The layer's forward once more, now keeping what backward needs. Its values get fresh storages, but for those that
// were cached; the block input is still there. Hooks fire as in the first forward. With early stop the operator that
// saves last need not run, only save, unless it saves what it computes; what Python still holds when recomputation
// stops there is dropped at once, and so is autocast's cache, for recomputation enters a context of its own.
void Autograd::recompute(ModuleId layer) {
  const LayerRange& range = layers_[static_cast<std::size_t>(architecture_.module(layer).layer)];
  const double before = recorder_.executed_flops();
  recorder_.begin_recomputation();
  const auto is_in = [](ValueId value, const std::vector<ValueId>& list) {
    return std::find(list.begin(), list.end(), value) != list.end();
  };
  std::vector<ValueId> held;
  for (std::size_t i = range.begin; i <= range.end; ++i) {
    const Step& step = graph_.forward[i];
    switch (step.kind) {
      case Step::Kind::enter:
        strategy_.pre_forward(ModuleId(step.index));
        break;
      case Step::Kind::leave:
        strategy_.post_forward(ModuleId(step.index));
        break;
      case Step::Kind::run:
        if (!recomputation_.early_stop || range.reruns(i)) {
          const Operator& op = graph_.operators[step.index];
          run_again(step.index);
          std::copy_if(op.outputs.begin(), op.outputs.end(), std::back_inserter(held),
                       [&](ValueId output) { return is_in(output, range.escaping); });
        } else if (i == range.last_save) {
          keep_saved(graph_.operators[step.index]);
        }
        break;
      case Step::Kind::drop: {
        const ValueId value(step.index);
        if (!is_in(value, range.inputs) && values_[value.index()].owners > 0) drop(value);
        break;
      }
    }
  }
  for (const ValueId value : held) {
    const bool is_output = is_in(value, range.outputs);
    if (recomputation_.reentrant && is_output) {
      recomputed_outputs_.push_back(value);
    } else {
      drop(value);
    }
  }
  recorder_.end_recomputation();
  recomputed_flops_ += recorder_.executed_flops() - before;
}

// A cached output is there: what held it for the cache now stands for its name.
void Autograd::run_again(std::uint32_t index) {
  if (recomputation_.cached[index]) {
    keep_saved(graph_.operators[index]);
  } else {
    run_forward(graph_.operators[index], true);
  }
}

}  // namespace shardsim
