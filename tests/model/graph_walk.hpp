// Walks a graph the way a framework would: forward with reference counts, backward by the rules of autograd.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "model/operators.hpp"

namespace shardsim::test {

/// Bytes live over a forward and a backward pass; parameters and their gradients are not counted.
class Walk {
 public:
  explicit Walk(const Graph& graph)
      : graph_(graph),
        named_(graph.values.size(), false),
        savers_(graph.values.size(), 0),
        gradients_(graph.values.size()) {}

  /// Runs forward; `watch` (operator, live bytes while it runs, scratch included) is called for each operator.
  template <class Watch>
  void forward(Watch&& watch) {
    for (const Step& step : graph_.forward) {
      if (step.kind == Step::Kind::run) {
        const Operator& op = graph_.operators[step.index];
        for (const ValueId id : op.outputs) {
          named_[id.index()] = true;
          live_ += graph_.value(id).bytes;
        }
        for (const ValueId id : distinct(op.saved)) ++savers_[id.index()];
        watch(op, live_ + op.scratch);
      } else if (step.kind == Step::Kind::drop) {
        named_[step.index] = false;
        release(ValueId(step.index));
      }
    }
  }

  /// Runs backward from the loss, the last value that an operator of this name wrote.
  template <class Watch>
  void backward(std::string_view from, Watch&& watch) {
    for (auto op = graph_.operators.rbegin(); op != graph_.operators.rend(); ++op) {
      if (op->name == from) accumulate(op->outputs.front());
      if (!has_gradient(*op)) continue;
      pass_to_inputs(*op);
      watch(*op, live_ + op->backward_scratch);
      for (const ValueId id : op->outputs) gradients_[id.index()].reset();
      for (const ValueId id : distinct(op->saved)) {
        --savers_[id.index()];
        release(id);
      }
    }
  }

  std::int64_t live() const { return live_; }
  bool is_live(ValueId id) const { return named_[id.index()] || savers_[id.index()] > 0; }

 private:
  using Buffer = std::shared_ptr<void>;

  static std::vector<ValueId> distinct(std::vector<ValueId> ids) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
  }
  void release(ValueId id) {
    if (!is_live(id)) live_ -= graph_.value(id).bytes;
  }
  bool has_gradient(const Operator& op) const {
    return std::any_of(op.outputs.begin(), op.outputs.end(),
                       [&](ValueId id) { return gradients_[id.index()] != nullptr; });
  }
  Buffer allocate(ValueId id) {
    const Value& value = graph_.value(id);
    const std::int64_t bytes = value.gradient_bytes < 0 ? value.bytes : value.gradient_bytes;
    live_ += bytes;
    return Buffer(this, [this, bytes](void*) { live_ -= bytes; });
  }
  void accumulate(ValueId id) {
    Buffer second = allocate(id);
    if (!gradients_[id.index()]) gradients_[id.index()] = std::move(second);
  }
  void pass_to_inputs(const Operator& op) {
    for (const ValueId id : op.inputs) {
      if (!graph_.value(id).needs_gradient) continue;
      if (op.passes_gradient && !gradients_[id.index()]) {
        gradients_[id.index()] = gradients_[op.outputs.front().index()];
      } else if (!op.passes_gradient) {
        accumulate(id);
      }
    }
  }

  const Graph& graph_;
  std::int64_t live_ = 0;
  std::vector<bool> named_;
  std::vector<int> savers_;
  std::vector<Buffer> gradients_;
};

}  // namespace shardsim::test
