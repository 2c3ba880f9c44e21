// What every graph obeys, for every shipped model and every way of running it.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "catch.hpp"
#include "graph_walk.hpp"
#include "model/operators.hpp"

using namespace shardsim;

namespace {

const std::filesystem::path zoo = std::filesystem::path(SHARDSIM_SOURCE) / "model" / "zoo";

struct Variant {
  Precision precision;
  AttentionKind attention;
  LossKind loss;
  Implementation implementation;
  bool compile = false;
};

const std::vector<Variant> variants = {
    {Precision::bf16_mixed, AttentionKind::flash, LossKind::eager, Implementation::hf},
    {Precision::amp_bf16, AttentionKind::eager, LossKind::eager, Implementation::hf},
    {Precision::fp32, AttentionKind::sdpa, LossKind::plain, Implementation::torchtitan},
    {Precision::fp8_mixed, AttentionKind::flash, LossKind::plain, Implementation::liger},
    {Precision::fp16_mixed, AttentionKind::eager, LossKind::eager, Implementation::liger},
    {Precision::bf16_mixed, AttentionKind::flash, LossKind::fused, Implementation::liger},
    {Precision::amp_bf16, AttentionKind::sdpa, LossKind::fused, Implementation::hf},
    {Precision::bf16_mixed, AttentionKind::flash, LossKind::chunked, Implementation::torchtitan},
    {Precision::amp_bf16, AttentionKind::flash, LossKind::chunked, Implementation::megatron},
    {Precision::bf16, AttentionKind::eager, LossKind::plain, Implementation::megatron},
    {Precision::bf16_mixed, AttentionKind::flash, LossKind::chunked, Implementation::torchtitan, true},
    {Precision::amp_bf16, AttentionKind::eager, LossKind::eager, Implementation::hf, true},
    {Precision::fp8_mixed, AttentionKind::sdpa, LossKind::fused, Implementation::liger, true},
};

GraphOptions options_of(const Architecture& model, const Variant& variant) {
  GraphOptions options;
  options.micro_batch = 2;
  options.seq_len = 64;
  if (model.dims.sliding_window > 0 && model.dims.sliding_window < 8192) options.seq_len = 8192;  // so that it bites
  options.precision = variant.precision;
  options.attention = variant.attention;
  options.loss = variant.loss;
  options.implementation = variant.implementation;
  options.compile = variant.compile;
  return options;
}

/// Faults in the life of a value, in words; empty where all is well.
std::string fault_in_values(const Graph& graph) {
  enum class State { unwritten, named, dropped };
  std::vector<State> states(graph.values.size(), State::unwritten);
  for (const Step& step : graph.forward) {
    if (step.kind == Step::Kind::drop) {
      if (states[step.index] != State::named)
        return "dropped before it is written, or twice: " + std::to_string(step.index);
      states[step.index] = State::dropped;
    }
    if (step.kind != Step::Kind::run) continue;
    const Operator& op = graph.operators[step.index];
    for (const ValueId id : op.inputs) {
      if (states[id.index()] != State::named) return op.name + " reads a value that is gone or not there yet";
    }
    for (const ValueId id : op.outputs) {
      if (states[id.index()] != State::unwritten) return op.name + " writes a value again";
      states[id.index()] = State::named;
    }
    for (const ValueId id : op.saved) {
      if (states[id.index()] != State::named) return op.name + " saves a value that is gone";
    }
  }
  const bool all_dropped = std::all_of(states.begin(), states.end(), [](State s) { return s == State::dropped; });
  return all_dropped ? "" : "a value is never dropped";
}

std::string fault_in_hooks(const Graph& graph, const Architecture& model, bool activations_may_rest) {
  std::vector<std::uint32_t> open;
  std::vector<int> entered(model.modules.size(), 0);
  std::vector<std::size_t> next_child(model.modules.size(), 0);
  for (const Step& step : graph.forward) {
    if (step.kind == Step::Kind::enter) {
      ++entered[step.index];
      if (!open.empty() && model.modules[step.index].parent != ModuleId(open.back()))
        return "entered outside its parent";
      open.push_back(step.index);
    } else if (step.kind == Step::Kind::leave) {
      if (open.empty() || open.back() != step.index) return "left out of turn";
      open.pop_back();
    } else if (step.kind == Step::Kind::run && !open.empty()) {
      if (graph.operators[step.index].module != ModuleId(open.back())) return "an operator of another module";
    }
  }
  for (std::size_t i = 0; i < entered.size(); ++i) {
    const bool may_rest = activations_may_rest && model.modules[i].kind == ModuleKind::activation;
    if (entered[i] != 1 && !(may_rest && entered[i] == 0)) return model.modules[i].name + " does not run exactly once";
  }
  return open.empty() ? "" : "never left";
}

bool fuses_gate(Implementation implementation) {
  return implementation == Implementation::liger || implementation == Implementation::megatron;
}

std::string loss_operator(LossKind loss) {
  if (loss == LossKind::chunked) return "chunked_loss";
  if (loss == LossKind::plain) return "cross_entropy";
  return loss == LossKind::fused ? "fused_cross_entropy" : "nll_loss";
}

/// The order in which siblings are entered is that of Module::children.
bool enters_in_order(const Graph& graph, const Architecture& model) {
  std::vector<std::vector<ModuleId>> seen(model.modules.size());
  for (const Step& step : graph.forward) {
    if (step.kind != Step::Kind::enter || step.index == 0) continue;
    seen[model.modules[step.index].parent.index()].push_back(ModuleId(step.index));
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    std::vector<ModuleId> expected = model.modules[i].children;
    std::erase_if(expected,
                  [&](ModuleId id) { return std::find(seen[i].begin(), seen[i].end(), id) == seen[i].end(); });
    if (seen[i] != expected) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("every shipped model yields a sound graph that uses each parameter") {
  const std::vector<std::string> names = zoo_names(zoo);
  REQUIRE_FALSE(names.empty());
  for (const std::string& name : names) {
    const Architecture model = load_architecture(name, zoo);
    for (const Variant& variant : variants) {
      const GraphOptions options = options_of(model, variant);
      CAPTURE(name, static_cast<int>(variant.precision), static_cast<int>(variant.implementation));
      const Graph graph = build_graph(model, options);
      REQUIRE(fault_in_values(graph) == "");
      REQUIRE(fault_in_hooks(graph, model, fuses_gate(options.implementation)) == "");
      REQUIRE(enters_in_order(graph, model));
      std::set<ParameterId> used;
      for (const Operator& op : graph.operators) used.insert(op.parameters.begin(), op.parameters.end());
      REQUIRE(used.size() == model.parameters.size());
    }
  }
}

TEST_CASE("forward and backward leave nothing behind") {
  for (const std::string& name : zoo_names(zoo)) {
    const Architecture model = load_architecture(name, zoo);
    for (const Variant& variant : variants) {
      CAPTURE(name, static_cast<int>(variant.precision), static_cast<int>(variant.implementation));
      const Graph graph = build_graph(model, options_of(model, variant));
      test::Walk walk(graph);
      walk.forward([](const Operator&, std::int64_t) {});
      REQUIRE(walk.live() > 0);
      walk.backward(loss_operator(variant.loss), [](const Operator&, std::int64_t) {});
      REQUIRE(walk.live() == 0);
    }
  }
}

TEST_CASE("a Llama block fires thirteen modules' hooks") {
  const Architecture model = load_architecture("llama-2-7b", zoo);
  const Graph graph = build_graph(model, {});
  const auto in_layer = [&](const Step& step) {
    return step.kind == Step::Kind::enter && model.modules[step.index].layer == 3;
  };
  CHECK(std::count_if(graph.forward.begin(), graph.forward.end(), in_layer) == 13);
}

TEST_CASE("a mixture of experts works on the experts that tokens visit") {
  for (const char* name : {"mixtral-8x7b", "qwen3-30b-a3b", "deepseek-v3"}) {
    const std::vector<std::string> shipped = zoo_names(zoo);
    if (std::find(shipped.begin(), shipped.end(), name) == shipped.end()) continue;
    const Architecture model = load_architecture(name, zoo);
    CAPTURE(name);
    GraphOptions options;
    options.seq_len = 4096;
    const Graph graph = build_graph(model, options);
    double products = 0;
    for (const Operator& op : graph.operators) {
      for (const Kernel& kernel : op.forward) products += kernel.kind == KernelKind::matmul ? kernel.flops : 0;
    }
    const double expected = model_flops_per_token(model, 0) / 3 * 4096;
    CHECK(products == Approx(expected).epsilon(1e-9));
  }
}
