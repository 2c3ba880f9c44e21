#include "model/graph_compile.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "model/graph_builder.hpp"

namespace shardsim::graph {

namespace {

constexpr std::size_t outside = ~std::size_t{0};

bool is_fusible(const Operator& op) {
  return !op.inputs.empty() && std::all_of(op.forward.begin(), op.forward.end(),
                                           [](const Kernel& kernel) { return kernel.kind == KernelKind::memory; });
}

/// The operators [begin, end) of one layer. `readers` counts, for every value of the graph, the operators that read it.
class LayerCompiler {
 public:
  LayerCompiler(Graph& graph, std::size_t begin, std::size_t end, const std::vector<std::size_t>& readers)
      : graph_(graph), begin_(begin), end_(end), readers_(readers) {
    for (std::size_t i = begin; i < end; ++i) {
      const Operator& op = graph_.operators[i];
      for (const ValueId output : op.outputs) {
        writers_[output] = i;
        if (graph_.value(output).bytes == 0 && !op.inputs.empty()) bases_[output] = base(op.inputs.front());
      }
    }
  }

  void run() {
    partition();
    find_groups();
    for (const auto& [root, members] : groups_) fuse(members);
    for (std::size_t i = begin_; i < end_; ++i) {
      Operator& op = graph_.operators[i];
      op.compiled = i + 1 < end_;  // the layer is one autograd node
      for (const std::vector<ValueId>* values : {&op.inputs, &op.outputs}) {
        for (const ValueId id : *values) graph_.values[id.index()].gradients_fused = true;
      }
    }
  }

 private:
  /// The value whose storage a view shows.
  ValueId base(ValueId id) const {
    const auto found = bases_.find(id);
    return found == bases_.end() ? id : found->second;
  }
  std::size_t writer(ValueId id) const {
    const auto found = writers_.find(id);
    return found == writers_.end() ? outside : found->second;
  }

  // Saved values.

  bool can_be_rebuilt(ValueId id) const {
    const std::size_t op = writer(id);
    if (op == outside || !is_fusible(graph_.operators[op]) || !graph_.value(id).needs_gradient) return false;
    std::int64_t read = 0;
    for (const ValueId input : graph_.operators[op].inputs) read += graph_.value(base(input)).bytes;
    constexpr std::int64_t reduction = 4;  // the partitioner's threshold: outputs of reductions are kept
    return graph_.value(id).bytes * reduction >= read;
  }
  /// Bytes to save, beyond what is kept already, so that backward has this value.
  std::int64_t cost(ValueId id) const {
    if (kept_.count(id) != 0 || is_table(id)) return 0;
    return std::min(graph_.value(id).bytes, can_be_rebuilt(id) ? cost_of_inputs(id) : graph_.value(id).bytes);
  }
  std::int64_t cost_of_inputs(ValueId id) const {
    std::int64_t sum = 0;
    for (const ValueId input : graph_.operators[writer(id)].inputs) sum += cost(base(input));
    return sum;
  }
  /// cos, sin, masks: made outside and there anyway.
  bool is_table(ValueId id) const { return writer(id) == outside && !graph_.value(id).needs_gradient; }
  bool is_rebuilt(ValueId id) const {
    return kept_.count(id) == 0 && can_be_rebuilt(id) && cost_of_inputs(id) < graph_.value(id).bytes;
  }

  /// Keeps what the value is rebuilt from, at the operators that read it in forward.
  void rebuild(ValueId id) {
    if (!rebuilt_.insert(id).second) return;
    Operator& op = graph_.operators[writer(id)];
    for (const ValueId input : op.inputs) {
      const ValueId source = base(input);
      if (is_table(source)) continue;
      if (rebuilt_.count(source) != 0 || is_rebuilt(source)) {
        rebuild(source);
        continue;
      }
      kept_.insert(source);
      op.saved.push_back(source);
    }
  }

  void partition() {
    for (std::size_t i = begin_; i < end_; ++i) {
      const Operator& op = graph_.operators[i];
      for (const ValueId id : op.saved) {
        if (!is_fusible(op) || !can_be_rebuilt(id)) kept_.insert(id);
      }
    }
    for (std::size_t i = begin_; i < end_; ++i) {
      const std::vector<ValueId> needed = graph_.operators[i].saved;
      for (const ValueId id : needed) {
        if (kept_.count(id) != 0) continue;
        if (rebuilt_.count(id) == 0 && !is_rebuilt(id)) {
          kept_.insert(id);
          continue;
        }
        rebuild(id);
        std::erase(graph_.operators[i].saved, id);
      }
    }
  }

  // Kernels.

  std::size_t find(std::size_t op) {
    while (parents_[op - begin_] != op) op = parents_[op - begin_];
    return op;
  }

  /// Operators that no product stands between, where one reads what the other writes.
  void find_groups() {
    std::vector<std::size_t> depths(end_ - begin_, 0);
    for (std::size_t i = begin_; i < end_; ++i) parents_.push_back(i);
    for (std::size_t i = begin_; i < end_; ++i) {
      const Operator& op = graph_.operators[i];
      std::size_t& depth = depths[i - begin_];
      for (const ValueId input : op.inputs) {
        const std::size_t from = writer(input);
        if (from == outside) continue;
        depth = std::max(depth, depths[from - begin_] + (is_fusible(graph_.operators[from]) ? 0 : 1));
      }
      if (!is_fusible(op)) continue;
      for (const ValueId input : op.inputs) {
        const std::size_t from = writer(input);
        const bool joins =
            from != outside && is_fusible(graph_.operators[from]) && depths[from - begin_] == depths[i - begin_];
        if (joins) parents_[find(i) - begin_] = find(from);
      }
    }
    for (std::size_t i = begin_; i < end_; ++i) {
      if (is_fusible(graph_.operators[i])) groups_[find(i)].push_back(i);
    }
  }

  bool leaves(ValueId id, const std::vector<std::size_t>& members) const {
    std::size_t readers_inside = 0;
    for (const std::size_t i : members) {
      const Operator& op = graph_.operators[i];
      readers_inside += static_cast<std::size_t>(std::count(op.inputs.begin(), op.inputs.end(), id));
    }
    return readers_[id.index()] > readers_inside;
  }
  bool is_saved(ValueId id) const {
    for (std::size_t i = begin_; i < end_; ++i) {
      const std::vector<ValueId>& saved = graph_.operators[i].saved;
      if (std::find(saved.begin(), saved.end(), id) != saved.end()) return true;
    }
    return false;
  }
  std::int64_t gradient_bytes(ValueId id) const {
    const Value& value = graph_.value(id);
    if (!value.needs_gradient) return 0;
    return value.gradient_bytes >= 0 ? value.gradient_bytes : value.bytes;
  }

  void fuse(const std::vector<std::size_t>& members) {
    std::set<ValueId> read, written, entering, leaving, used_in_backward;
    bool launches = false;
    for (const std::size_t i : members) {
      const Operator& op = graph_.operators[i];
      launches = launches || !op.forward.empty();
      used_in_backward.insert(op.saved.begin(), op.saved.end());
      for (const ValueId input : op.inputs) {
        const std::size_t from = writer(input);
        if (from != outside && std::find(members.begin(), members.end(), from) != members.end()) continue;
        entering.insert(input);
        read.insert(base(input));
      }
      for (const ValueId output : op.outputs) {
        if (!leaves(output, members)) continue;
        leaving.insert(output);
        written.insert(base(output));
      }
    }
    std::int64_t forward = 0, backward = 0;
    for (const ValueId id : read) forward += graph_.value(id).bytes;
    for (const std::size_t i : members) {
      for (const ValueId output : graph_.operators[i].outputs) {
        if (written.count(output) == 0 && !is_saved(output)) {
          graph_.values[output.index()].bytes = 0;
        } else {
          forward += graph_.value(output).bytes;
        }
        if (leaving.count(output) == 0) graph_.values[output.index()].gradient_bytes = 0;
      }
    }
    for (const ValueId id : used_in_backward) backward += graph_.value(id).bytes;
    for (const ValueId id : entering) backward += gradient_bytes(id);
    for (const ValueId id : leaving) backward += gradient_bytes(id);
    replace_kernels(members, launches ? forward : 0, backward);
  }

  void replace_kernels(const std::vector<std::size_t>& members, std::int64_t forward, std::int64_t backward) {
    bool placed = false;
    for (const std::size_t i : members) {
      Operator& op = graph_.operators[i];
      const DType type = op.forward.empty() ? DType::bf16 : op.forward.front().type;
      const bool computes = !op.backward.empty() && !op.passes_gradient;
      op.forward.clear();
      op.backward.clear();
      op.scratch = op.backward_scratch = 0;
      if (op.weight_backward.size() > 1) op.weight_backward.resize(1);
      if (i == members.back() && forward > 0) op.forward.push_back(memory_kernel(type, static_cast<double>(forward)));
      if (!computes || placed) continue;
      placed = true;
      op.backward.push_back(memory_kernel(type, static_cast<double>(backward)));
    }
  }

  Graph& graph_;
  std::size_t begin_, end_;
  const std::vector<std::size_t>& readers_;
  std::map<ValueId, std::size_t> writers_;
  std::map<ValueId, ValueId> bases_;  ///< of views
  std::set<ValueId> kept_, rebuilt_;
  std::vector<std::size_t> parents_;  ///< of the groups' trees, by operator
  std::map<std::size_t, std::vector<std::size_t>> groups_;
};

/// fx's common subexpression elimination: of operators that compute the same from the same values, the first alone
/// stays. What adapters cast for each projection anew is such.
class EqualOperators {
 public:
  explicit EqualOperators(Graph& graph)
      : graph_(graph), kept_(graph.values.size()), last_drop_(graph.values.size(), 0) {
    for (std::size_t v = 0; v < kept_.size(); ++v) kept_[v] = ValueId(v);
  }

  void merge(std::size_t begin, std::size_t end) {
    std::map<std::tuple<std::string, std::vector<ValueId>, std::int64_t>, ValueId> known;
    for (std::size_t i = begin; i < end; ++i) {
      Operator& op = graph_.operators[i];
      for (std::vector<ValueId>* values : {&op.inputs, &op.saved}) {
        for (ValueId& id : *values) id = kept_[id.index()];
      }
      const bool repeats = is_fusible(op) && !op.forward.empty() && op.outputs.size() == 1 && op.parameters.empty();
      if (!repeats) continue;
      const ValueId output = op.outputs.front();
      const auto [first, is_new] = known.try_emplace({op.name, op.inputs, graph_.value(output).bytes}, output);
      if (is_new) continue;
      kept_[output.index()] = first->second;
      graph_.values[output.index()] = {0, false};
      Operator nothing;
      nothing.name = op.name;
      nothing.module = op.module;
      nothing.outputs = op.outputs;
      op = std::move(nothing);
    }
  }

  /// A value that others were merged into goes when the last of them would have gone.
  void move_drops() {
    for (std::size_t i = 0; i < graph_.forward.size(); ++i) {
      const Step& step = graph_.forward[i];
      if (step.kind == Step::Kind::drop) last_drop_[kept_[step.index].index()] = i;
    }
    std::vector<Step> steps;
    steps.reserve(graph_.forward.size());
    for (std::size_t i = 0; i < graph_.forward.size(); ++i) {
      const Step& step = graph_.forward[i];
      if (step.kind != Step::Kind::drop) {
        steps.push_back(step);
        continue;
      }
      const std::size_t kept = kept_[step.index].index();
      if (kept != step.index) steps.push_back(step);
      if (last_drop_[kept] == i) steps.push_back({Step::Kind::drop, static_cast<std::uint32_t>(kept)});
    }
    graph_.forward = std::move(steps);
  }

 private:
  Graph& graph_;
  std::vector<ValueId> kept_;           ///< by ValueId: what stands for it
  std::vector<std::size_t> last_drop_;  ///< by ValueId: a step
};

/// Calls `use` with the range of each layer's operators.
template <class Use>
void for_each_layer(const Graph& graph, const Architecture& architecture, Use use) {
  const auto layer_of = [&](std::size_t i) { return architecture.module(graph.operators[i].module).layer; };
  std::size_t begin = 0;
  for (std::size_t i = 1; i <= graph.operators.size(); ++i) {
    if (i < graph.operators.size() && layer_of(i) == layer_of(begin)) continue;
    if (layer_of(begin) >= 0) use(begin, i);
    begin = i;
  }
}

}  // namespace

void compile_layers(Graph& graph, const Architecture& architecture) {
  EqualOperators equal(graph);
  for_each_layer(graph, architecture, [&](std::size_t begin, std::size_t end) { equal.merge(begin, end); });
  equal.move_drops();
  std::vector<std::size_t> readers(graph.values.size(), 0);
  for (const Operator& op : graph.operators) {
    for (const ValueId input : op.inputs) ++readers[input.index()];
  }
  for_each_layer(graph, architecture,
                 [&](std::size_t begin, std::size_t end) { LayerCompiler(graph, begin, end, readers).run(); });
}

}  // namespace shardsim::graph
