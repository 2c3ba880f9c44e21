// What the autograd engine knows of a graph before it runs: each layer's range, the order of backward, names.
#include <algorithm>
#include <string_view>

#include "sim/plan/autograd.hpp"

namespace shardsim {

std::string_view Autograd::name_in_layer(ModuleId id) const {
  const std::string_view name = architecture_.module(id).name;
  for (ModuleId m = id; m.valid(); m = architecture_.module(m).parent) {
    if (!is_decoder_layer(architecture_.module(m))) continue;
    const std::size_t prefix = architecture_.module(m).name.size();
    return name.size() > prefix ? name.substr(prefix + 1) : std::string_view{};
  }
  return name;
}

// "self_attn.q_proj", "mlp: product".
void Autograd::name_places() {
  places_.reserve(graph_.operators.size());
  for (const Operator& op : graph_.operators) {
    const std::string_view module = name_in_layer(op.module);
    if (module.empty() || module.ends_with(op.name)) {
      places_.emplace_back(module.empty() ? std::string_view(op.name) : module);
    } else {
      places_.push_back(std::string(module) + ": " + op.name);
    }
  }
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
  const auto note_output = [&](ValueId value) {
    const std::uint32_t writer = written_in[value.index()];
    if (writer >= layers_.size() || static_cast<std::int32_t>(writer) == layer) return;
    std::vector<ValueId>& outputs = layers_[writer].outputs;
    if (std::find(outputs.begin(), outputs.end(), value) == outputs.end()) outputs.push_back(value);
  };
  for (std::size_t i = 0; i < graph_.forward.size(); ++i) {
    if (graph_.forward[i].kind == Step::Kind::run) {
      for (const ValueId input : graph_.operators[graph_.forward[i].index].inputs) note_output(input);
    }
    const Step& step = graph_.forward[i];
    if (step.kind == Step::Kind::enter || step.kind == Step::Kind::leave) {
      const Module& module = architecture_.modules[step.index];
      if (!is_decoder_layer(module)) continue;
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

}  // namespace shardsim
