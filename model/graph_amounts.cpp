#include "model/graph_amounts.hpp"

#include <map>
#include <tuple>

namespace shardsim {

namespace {

/// Writes a graph's structure down as numbers.
class Fingerprint {
 public:
  explicit Fingerprint(std::vector<std::uint32_t>& out) : out_(out) {}

  void add(const Graph& graph) {
    number(graph.values.size());
    for (const Value& value : graph.values) add(value);
    number(graph.operators.size());
    for (const Operator& op : graph.operators) add(op);
    number(graph.forward.size());
    for (const Step& step : graph.forward) {
      number(static_cast<std::size_t>(step.kind));
      number(step.index);
    }
  }

 private:
  void number(std::uint64_t value) {
    out_.push_back(static_cast<std::uint32_t>(value));
    if (value >> 32 != 0) out_.push_back(static_cast<std::uint32_t>(value >> 32));
  }
  void flags(std::initializer_list<bool> flags) {
    std::uint32_t bits = 1;
    for (const bool flag : flags) bits = 2 * bits + (flag ? 1 : 0);
    out_.push_back(bits);
  }
  void ids(const auto& list) {
    number(list.size());
    for (const auto id : list) number(id.index());
  }

  void add(const Value& value) {
    flags({value.needs_gradient, value.is_logits, value.is_gradient, value.gradients_fused, value.bytes == 0,
           gradient_bytes(value) == 0});
    // A parameter's: what becomes of it is not looked at again.
    if (value.is_gradient) number(static_cast<std::uint64_t>(value.bytes));
  }

  void add(const Operator& op) {
    number(op.name.size());
    for (const char letter : op.name) number(static_cast<unsigned char>(letter));
    number(op.module.index());
    ids(op.inputs), ids(op.outputs), ids(op.saved), ids(op.parameters), ids(op.gradients);
    for (const std::vector<Kernel>* kernels : {&op.forward, &op.backward, &op.weight_backward}) {
      number(kernels->size());
      for (const Kernel& kernel : *kernels) number(static_cast<std::size_t>(kernel.kind));
    }
    flags({op.scratch > 0, op.backward_scratch > 0, op.passes_gradient, op.compiled, op.reads_scalar});
  }

  std::vector<std::uint32_t>& out_;
};

auto key_of(const Kernel& k) {
  return std::tuple(k.kind, k.type, k.flops, k.bytes, k.m, k.n, k.k, k.batch, k.seq, k.heads, k.head_dim,
                    k.first_generation, k.backward);
}

}  // namespace

AmountIndex::AmountIndex(const Graph& graph) : values_(graph.values.size()), operators_(graph.operators.size()) {
  std::size_t at = 0;
  for (const Operator& op : graph.operators) {
    first_.push_back(static_cast<std::uint32_t>(at));
    forwards_.push_back(static_cast<std::uint32_t>(op.forward.size()));
    backwards_.push_back(static_cast<std::uint32_t>(op.backward.size()));
    at += op.forward.size() + op.backward.size() + op.weight_backward.size();
  }
}

std::int64_t gradient_bytes(const Value& value) {
  return value.gradient_bytes >= 0 ? value.gradient_bytes : value.bytes;
}

GraphAmounts::GraphAmounts(const Graph& graph) {
  for (const Value& value : graph.values) bytes.push_back(value.bytes);
  for (const Value& value : graph.values) bytes.push_back(gradient_bytes(value));
  for (const Operator& op : graph.operators) bytes.push_back(op.scratch);
  for (const Operator& op : graph.operators) bytes.push_back(op.backward_scratch);
  std::map<decltype(key_of(Kernel{})), std::uint32_t> known;
  for (const Operator& op : graph.operators) {
    for (const std::vector<Kernel>* of_op : {&op.forward, &op.backward, &op.weight_backward}) {
      for (const Kernel& kernel : *of_op) {
        const auto [found, fresh] = known.try_emplace(key_of(kernel), static_cast<std::uint32_t>(kernels.size()));
        if (fresh) kernels.push_back(kernel);
        kernel_of.push_back(found->second);
      }
    }
  }
  Fingerprint(structure).add(graph);
}

}  // namespace shardsim
