#include "sim/plan/autograd.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "model/core/check.hpp"
#include "sim/cost/host_time.hpp"

namespace shardsim {
namespace {

Category category_of(const Value& value) {
  if (value.is_gradient) return Category::gradients;
  return value.is_logits ? Category::logits : Category::activations;
}

bool is_decoder_layer(const Architecture& architecture, const Module& module) {
  return module.layer >= 0 && (!module.parent.valid() || architecture.module(module.parent).layer < 0);
}

bool is_product(const std::vector<Kernel>& kernels) {
  return std::any_of(kernels.begin(), kernels.end(), [](const Kernel& k) { return k.kind == KernelKind::matmul; });
}

/// The module's name within its decoder layer, which the recorder knows.
std::string_view name_in_layer(const Architecture& architecture, ModuleId id) {
  const std::string_view name = architecture.module(id).name;
  for (ModuleId m = id; m.valid(); m = architecture.module(m).parent) {
    if (!is_decoder_layer(architecture, architecture.module(m))) continue;
    const std::size_t prefix = architecture.module(m).name.size();
    return name.size() > prefix ? name.substr(prefix + 1) : std::string_view{};
  }
  return name;
}

/// What each operator's tensors are called: "self_attn.q_proj", "mlp: product".
std::vector<std::string> places_of(const Graph& graph, const Architecture& architecture) {
  std::vector<std::string> places;
  places.reserve(graph.operators.size());
  for (const Operator& op : graph.operators) {
    const std::string_view module = name_in_layer(architecture, op.module);
    if (module.empty() || module.ends_with(op.name)) {
      places.emplace_back(module.empty() ? std::string_view(op.name) : module);
    } else {
      places.push_back(std::string(module) + ": " + op.name);
    }
  }
  return places;
}

std::int64_t gradient_bytes(const Value& value) {
  return value.gradient_bytes >= 0 ? value.gradient_bytes : value.bytes;
}

}  // namespace

Autograd::Autograd(const Architecture& architecture, const Graph& graph, const Recomputation& recomputation,
                   DType gradient_type, Recorder& recorder, Strategy& strategy)
    : architecture_(architecture),
      graph_(graph),
      recomputation_(recomputation),
      gradient_type_(gradient_type),
      recorder_(recorder),
      strategy_(strategy),
      values_(graph.values.size()),
      places_(places_of(graph, architecture)),
      parameter_uses_(architecture.parameters.size(), 0),
      parameter_gradients_(architecture.parameters.size()) {
  count_uses();
  find_layers();
  order_backward();
}

void Autograd::count_uses() {
  for (const Operator& op : graph_.operators) {
    for (const ParameterId parameter : op.parameters) ++parameter_uses_[parameter.index()];
  }
}

// The steps between entering and leaving each decoder layer.
void Autograd::find_layers() {
  std::vector<std::uint32_t> written_in(graph_.values.size(), ~0U);
  std::int32_t layer = -1;
  for (std::size_t i = 0; i < graph_.forward.size(); ++i) {
    const Step& step = graph_.forward[i];
    if (step.kind == Step::Kind::enter || step.kind == Step::Kind::leave) {
      const Module& module = architecture_.modules[step.index];
      if (!is_decoder_layer(architecture_, module)) continue;
      if (step.kind == Step::Kind::enter) {
        layer = module.layer;
        layers_.resize(static_cast<std::size_t>(layer) + 1);
        layers_[static_cast<std::size_t>(layer)].begin = i;
      } else {
        layers_[static_cast<std::size_t>(layer)].end = i;
        layer = -1;
      }
    } else if (step.kind == Step::Kind::run && layer >= 0) {
      LayerRange& range = layers_[static_cast<std::size_t>(layer)];
      const Operator& op = graph_.operators[step.index];
      for (const ValueId input : op.inputs) {
        const bool outside = written_in[input.index()] != static_cast<std::uint32_t>(layer);
        if (outside && std::find(range.inputs.begin(), range.inputs.end(), input) == range.inputs.end()) {
          range.inputs.push_back(input);
        }
      }
      for (const ValueId output : op.outputs) {
        written_in[output.index()] = static_cast<std::uint32_t>(layer);
        range.escaping.push_back(output);
      }
      if (!op.saved.empty()) {
        range.last_save = i;
        range.last_saves_output = std::any_of(op.saved.begin(), op.saved.end(), [&](ValueId saved) {
          return std::find(op.outputs.begin(), op.outputs.end(), saved) != op.outputs.end();
        });
      }
    } else if (step.kind == Step::Kind::drop && layer >= 0) {
      std::erase(layers_[static_cast<std::size_t>(layer)].escaping, ValueId(step.index));
    }
  }
}

// Backward visits what forward visited, in reverse, with two exceptions: modules that compute nothing differentiable
// (rotary tables) are not visited, and a module whose inputs need no gradient (the embedding) comes after its
// containers, whose own hooks hang on inputs that need none either.
void Autograd::order_backward() {
  std::vector<bool> differentiable(architecture_.modules.size(), false);
  std::vector<bool> takes_gradient(architecture_.modules.size(), false);
  std::vector<bool> runs_operators(architecture_.modules.size(), false);
  const auto mark_up = [&](ModuleId module, std::vector<bool>& flags) {
    for (ModuleId m = module; m.valid(); m = architecture_.module(m).parent) flags[m.index()] = true;
  };
  for (const Operator& op : graph_.operators) {
    const auto needs = [&](ValueId v) { return graph_.value(v).needs_gradient; };
    mark_up(op.module, runs_operators);
    if (std::any_of(op.outputs.begin(), op.outputs.end(), needs)) mark_up(op.module, differentiable);
    if (std::any_of(op.inputs.begin(), op.inputs.end(), needs)) mark_up(op.module, takes_gradient);
  }
  std::vector<BackwardStep> sources;
  for (auto step = graph_.forward.rbegin(); step != graph_.forward.rend(); ++step) {
    if (step->kind == Step::Kind::drop) continue;
    BackwardStep back;
    back.index = step->index;
    ModuleId module(step->index);
    if (step->kind == Step::Kind::run) {
      const Operator& op = graph_.operators[step->index];
      module = op.module;
      if (std::none_of(op.outputs.begin(), op.outputs.end(), [&](ValueId v) { return graph_.value(v).needs_gradient; }))
        continue;
    } else {
      back.kind = step->kind == Step::Kind::leave ? BackwardStep::Kind::enter : BackwardStep::Kind::leave;
      const bool idle = !runs_operators[module.index()] && architecture_.module(module).kind == ModuleKind::rotary;
      if (idle || (runs_operators[module.index()] && !differentiable[module.index()])) continue;
    }
    const bool source = differentiable[module.index()] && !takes_gradient[module.index()];
    (source ? sources : backward_order_).push_back(back);
  }
  backward_order_.insert(backward_order_.end(), sources.begin(), sources.end());
}

void Autograd::locate(Phase phase, ModuleId id, const char* verb) {
  const Module& module = architecture_.module(id);
  if (is_decoder_layer(architecture_, module)) {
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
        if (is_decoder_layer(architecture_, architecture_.module(module))) {
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
    state.storage = recorder_.allocate(category_of(value), value.bytes, place);
  }
  TensorId scratch;
  if (op.scratch > 0) scratch = recorder_.allocate(Category::workspace, op.scratch, place);
  for (const Kernel& kernel : op.forward) recorder_.kernel(kernel, op.name);
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
    const bool is_layer = is_decoder_layer(architecture_, module);
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
        for (const ValueId input : layers_[static_cast<std::size_t>(module.layer)].inputs) drop(input);
      }
      recorder_.mark(Phase::backward, -1, "between layers");
    }
  }
}

// The layer's forward once more, now keeping what backward needs. Its values get fresh storages, but for those that
// were cached; the block input is still there. Hooks fire as in the first forward. With early stop the operator that
// saves last need not run, only save, unless it saves what it computes; what Python still holds when recomputation
// stops there is dropped at once, and so is autocast's cache, for recomputation enters a context of its own.
void Autograd::recompute(ModuleId layer) {
  const LayerRange& range = layers_[static_cast<std::size_t>(architecture_.module(layer).layer)];
  const double before = recorder_.executed_flops();
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
  for (const ValueId value : held) drop(value);
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

void Autograd::release_gradient(std::uint32_t buffer) {
  if (buffer == no_gradient) return;
  GradientBuffer& gradient = gradients_[buffer];
  if (--gradient.owners == 0) recorder_.reset(gradient.storage);
}

void Autograd::run_backward(const Operator& op) {
  if (!op.compiled) recorder_.spend(HookTimes{}.autograd_node);
  read_scalar(op);
  if (op.gradients.empty()) {
    backpropagate(op);
  } else {
    hand_over(op);
  }
}

// Forward computed the gradients: they change owners.
void Autograd::hand_over(const Operator& op) {
  std::vector<TensorId> gradients;
  for (const ValueId value : op.gradients) {
    gradients.push_back(std::exchange(values_[value.index()].storage, TensorId{}));
  }
  for (const ValueId saved : op.saved) drop(saved);
  for (std::size_t i = 0; i < op.parameters.size(); ++i) {
    receive_parameter_gradient(op, op.parameters[i], gradients[i + 1]);
  }
  gradients_.push_back({gradients.front(), 1, false});
  receive_gradient(op.inputs.front(), static_cast<std::uint32_t>(gradients_.size() - 1));
}

void Autograd::backpropagate(const Operator& op) {
  const std::string place = place_of(op) + " backward";
  std::vector<std::uint32_t> outgoing;
  for (const ValueId input : op.inputs) {
    if (!graph_.value(input).needs_gradient) {
      outgoing.push_back(no_gradient);
      continue;
    }
    if (op.passes_gradient) {
      const std::uint32_t shared = values_[op.outputs.front().index()].gradient;
      SHARDSIM_CHECK(shared != no_gradient, "a gradient arrives before its node runs");
      ++gradients_[shared].owners;
      outgoing.push_back(shared);
      continue;
    }
    const Value& value = graph_.value(input);
    gradients_.push_back(
        {recorder_.allocate(category_of(value), gradient_bytes(value), place), 1, is_product(op.backward)});
    outgoing.push_back(static_cast<std::uint32_t>(gradients_.size() - 1));
  }
  if (!op.passes_gradient) {
    TensorId scratch;
    if (op.backward_scratch > 0) scratch = recorder_.allocate(Category::workspace, op.backward_scratch, place);
    for (const Kernel& kernel : op.backward) recorder_.kernel(kernel, op.name);
    recorder_.reset(scratch);
  }
  const std::vector<TensorId> fresh = allocate_parameter_gradients(op);
  for (const Kernel& kernel : op.weight_backward) recorder_.kernel(kernel, op.name);

  for (const ValueId output : op.outputs) {
    release_gradient(values_[output.index()].gradient);
    values_[output.index()].gradient = no_gradient;
  }
  for (const ValueId saved : op.saved) drop(saved);

  for (std::size_t i = 0; i < fresh.size(); ++i) receive_parameter_gradient(op, op.parameters[i], fresh[i]);
  for (std::size_t i = 0; i < op.inputs.size(); ++i) receive_gradient(op.inputs[i], outgoing[i]);
}

std::vector<TensorId> Autograd::allocate_parameter_gradients(const Operator& op) {
  std::vector<TensorId> gradients;
  for (const ParameterId parameter : op.parameters) {
    const Parameter& trained = architecture_.parameter(parameter);
    const std::int64_t bytes = trained.numel * size_of(trained.type.value_or(gradient_type_));
    gradients.push_back(recorder_.allocate(Category::gradients, bytes, "grad of " + place_of(op)));
  }
  return gradients;
}

void Autograd::receive_parameter_gradient(const Operator& op, ParameterId parameter, TensorId gradient) {
  GradientBuffer& held = parameter_gradients_[parameter.index()];
  if (!held.storage.valid()) {
    held = {gradient, 1, is_product(op.weight_backward)};
  } else {
    const std::int64_t bytes = recorder_.bytes_of(gradient);
    const TensorId sum =
        held.is_view ? recorder_.allocate(Category::gradients, bytes, "grad of " + place_of(op)) : held.storage;
    recorder_.elementwise(3.0 * static_cast<double>(bytes), "grad add");
    if (held.is_view) recorder_.release(held.storage);
    recorder_.release(gradient);
    held = {sum, 1, false};
  }
  if (--parameter_uses_left_[parameter.index()] > 0) return;
  const TensorId complete = held.storage;
  held = {};
  strategy_.gradient_ready(parameter, complete);
}

void Autograd::receive_gradient(ValueId value, std::uint32_t buffer) {
  if (buffer == no_gradient) return;
  std::uint32_t& held = values_[value.index()].gradient;
  if (held == no_gradient) {
    held = buffer;
    return;
  }
  if (graph_.value(value).gradients_fused) {
    if (gradients_[held].owners > 1) std::swap(held, buffer);
    release_gradient(buffer);
    return;
  }
  const double bytes = static_cast<double>(gradient_bytes(graph_.value(value)));
  if (gradients_[held].owners > 1 || gradients_[held].is_view) {
    const TensorId sum =
        recorder_.allocate(category_of(graph_.value(value)), gradient_bytes(graph_.value(value)), "grad add");
    gradients_.push_back({sum, 1, false});
    recorder_.elementwise(3 * bytes, "grad add");
    release_gradient(held);
    held = static_cast<std::uint32_t>(gradients_.size() - 1);
  } else {
    recorder_.elementwise(3 * bytes, "grad add");
  }
  release_gradient(buffer);
}

}  // namespace shardsim
