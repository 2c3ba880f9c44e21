// A strategy is a runtime's hooks on a model: what it keeps where, what it does before and after each module runs,
// when a gradient is ready, and in the optimizer step. autograd.hpp calls the hooks in the order PyTorch would.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "model/architecture.hpp"
#include "model/operators.hpp"
#include "sim/plan/plan.hpp"
#include "sim/plan/recorder.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

/// Where a paged optimizer's managed memory lies: on the device while there is room, in host memory under pressure.
enum class PagedStates : std::uint8_t { on_device, on_host };

/// What every strategy is made from. All outlive it.
struct StrategyContext {
  const Request& request;
  const Architecture& architecture;
  const Graph& graph;
  Recorder& recorder;
  PagedStates paged = PagedStates::on_device;
};

/// Hooks must only use the recorder; a strategy holds no clock and no memory of its own but the tensors it allocated.
class Strategy {
 public:
  virtual ~Strategy() = default;

  /// What is resident before the first step.
  virtual void initialise() = 0;

  /// Each micro-step: begin_forward, the hooks of all modules, begin_backward, hooks, end_backward. `boundary` is true
  /// for the last micro-step before the optimizer step.
  virtual void begin_forward(std::int64_t /*micro_step*/, bool /*boundary*/) {}
  virtual void pre_forward(ModuleId) {}
  virtual void post_forward(ModuleId) {}
  virtual void begin_backward() {}
  virtual void pre_backward(ModuleId) {}
  virtual void post_backward(ModuleId) {}
  /// Autograd has accumulated a parameter's gradient of this micro-step into a fresh tensor; the strategy owns it now.
  virtual void gradient_ready(ParameterId, TensorId gradient) = 0;
  virtual void end_backward() {}

  /// True where the runtime's pre-backward hook fires before a checkpointed layer is recomputed (it hangs on the
  /// layer's output), false where it lies inside what is recomputed.
  virtual bool hooks_precede_recomputation() const { return false; }

  /// Update of the parameters, and zero_grad.
  virtual void optimizer_step() = 0;
};

/// By the place in a shard group of `world` ranks, numbers that are equal for ranks whose programs are equal: ranks own
/// different slices under some strategies.
std::vector<std::uint64_t> rank_roles(const Request& request, const Architecture& architecture, std::int64_t world);

/// Ranks that each work on tokens of their own: all, but for the one process of a device map.
std::int64_t data_parallel_ranks(const Request& request, std::int64_t world);

/// Throws InputError when the strategy makes no sense on `world` ranks over `nodes` nodes.
void check_strategy(const Request& request, std::int64_t world, std::int64_t nodes);

std::unique_ptr<Strategy> make_strategy(const StrategyContext& context);

}  // namespace shardsim
