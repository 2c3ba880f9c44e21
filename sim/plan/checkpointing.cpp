#include "sim/plan/checkpointing.hpp"

#include <algorithm>

namespace shardsim {
namespace {

enum class Product : std::uint8_t {
  none,     ///< no product, or one that no list names: LLM.int8's own, fp8's aten::_scaled_mm
  plain,    ///< aten::mm
  kept,     ///< aten::addmm, bmm and attention, which torch lists as compute-intensive
  grouped,  ///< aten::_grouped_mm, which it does not list
};

bool has_shape_of_router(const Module& module, const Dimensions& dims) {
  return dims.experts && module.in_features == dims.hidden && module.out_features == dims.experts->count;
}

/// A layer's experts, whose products are run together: their router comes first.
bool holds_experts(const Architecture& architecture, const Module& module) {
  return !module.children.empty() &&
         has_shape_of_router(architecture.module(module.children.front()), architecture.dims);
}

Product product_of(const Operator& op, const Architecture& architecture) {
  const auto is = [](KernelKind kind) { return [kind](const Kernel& kernel) { return kernel.kind == kind; }; };
  if (std::any_of(op.forward.begin(), op.forward.end(), is(KernelKind::attention))) return Product::kept;
  const auto kernel = std::find_if(op.forward.begin(), op.forward.end(), is(KernelKind::matmul));
  if (kernel == op.forward.end()) return Product::none;
  const Module& module = architecture.module(op.module);
  if (module.class_name == "DoraLinearLayer") return Product::plain;
  if (module.kind != ModuleKind::linear) return holds_experts(architecture, module) ? Product::grouped : Product::kept;
  if (module.parameters.empty()) return Product::none;
  const std::optional<Quantization> stored = architecture.parameter(module.parameters.front()).quantization;
  if (stored == Quantization::int8 || kernel->type == DType::f8) return Product::none;
  const bool biased = module.parameters.size() > 1;
  return biased ? Product::kept : Product::plain;
}

std::vector<bool> operators_kept_by_torchtitan(const Architecture& architecture, const Graph& graph) {
  std::vector<bool> kept(graph.operators.size(), false);
  std::int64_t layer = -1, products = 0;
  for (std::size_t i = 0; i < graph.operators.size(); ++i) {
    const Operator& op = graph.operators[i];
    const Module& module = architecture.module(op.module);
    if (module.layer < 0) continue;
    if (module.layer != layer) {
      layer = module.layer;
      products = 0;
    }
    const Product product = product_of(op, architecture);
    if (product == Product::kept) kept[i] = true;
    if (product != Product::plain || has_shape_of_router(module, architecture.dims)) continue;
    kept[i] = ++products % 2 == 1;
  }
  return kept;
}

}  // namespace

Recomputation plan_recomputation(const Request& request, const Architecture& architecture, const Graph& graph) {
  Recomputation plan;
  plan.layers.assign(static_cast<std::size_t>(architecture.dims.layers), false);
  plan.cached.assign(graph.operators.size(), false);
  plan.reentrant = request.use_reentrant.value_or(false);
  plan.early_stop = request.implementation != Implementation::torchtitan && !plan.reentrant;
  plan.retains_inputs = plan.reentrant && is_fsdp1(request.kind) && architecture.adapted();
  switch (request.checkpointing) {
    case Checkpointing::none:
      break;
    case Checkpointing::full:
      plan.layers.assign(plan.layers.size(), true);
      break;
    case Checkpointing::every:
      for (std::size_t layer = 0; layer < plan.layers.size(); ++layer) {
        plan.layers[layer] = (static_cast<std::int64_t>(layer) + 1) % request.checkpoint_every == 0;
      }
      break;
    case Checkpointing::selective:
      plan.layers.assign(plan.layers.size(), true);
      plan.cached = operators_kept_by_torchtitan(architecture, graph);
      plan.early_stop = false;
      break;
  }
  return plan;
}

}  // namespace shardsim
