// ZeRO-3's partitioned parameter coordinator: which parameters are gathered and released at each module's hooks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "model/architecture.hpp"

namespace shardsim {

/// DeepSpeed's defaults (runtime/zero/config.py); all in elements.
struct CoordinatorConfig {
  std::int64_t max_live_parameters = 1'000'000'000;
  std::int64_t max_reuse_distance = 1'000'000'000;
  std::int64_t prefetch_bucket = 50'000'000;
  std::int64_t persistence_threshold = 100'000;
};

/// The algorithm of deepspeed/runtime/zero/partitioned_param_coordinator.py (deepspeedai/DeepSpeed edaa72212). A
/// forward pass and its backward are one micro-step. The first one records the order of module visits and gathers on
/// demand; from the second on, every fetch also prefetches ahead of the trace until `max_live_parameters` are gathered,
/// and a release keeps what is used again within `max_reuse_distance` or was already passed by the prefetch.
class ParameterCoordinator {
 public:
  using Parameters = std::span<const ParameterId>;
  /// What the runtime does about it. `gather` starts one coalesced all-gather; `await` waits for the one a parameter is
  /// in; `release` partitions a parameter again.
  struct Actions {
    std::function<void(Parameters)> gather;
    std::function<void(ParameterId)> await;
    std::function<void(ParameterId)> release;
    std::function<void()> fetched;  ///< all of a module's parameters are there; prefetching comes after
  };

  /// Partitions on drives: gathering ahead stops at the first that is away; reading ahead follows it.
  struct Drives {
    std::function<bool(ParameterId)> holds;    ///< it lives on the drives
    std::function<bool(ParameterId)> is_away;  ///< and nothing has asked for it yet
    std::function<std::size_t()> free_buffers;
    std::function<void(Parameters)> read_ahead;
  };

  ParameterCoordinator(const Architecture& architecture, const CoordinatorConfig& config, Actions actions);

  void swap_from_drives(Drives drives) { drives_ = std::move(drives); }

  void begin_micro_step();
  void fetch(ModuleId module);
  void release(ModuleId module);
  /// Before the optimizer step: partitions everything, the persistent parameters too.
  void release_all();
  /// After it: persistent parameters are gathered again.
  void mark_persistent_available();

  bool has_hooks(ModuleId module) const { return !inside_leaf_[module.index()]; }
  /// The leaf module that a parameter belongs to; unset outside of them.
  ModuleId leaf_of(ParameterId parameter) const { return leaf_of_[parameter.index()]; }
  /// What the hooks on a module see, in registration order.
  const std::vector<ParameterId>& parameters_of(ModuleId module) const { return parameters_[module.index()]; }

  bool is_persistent(ParameterId parameter) const { return persistent_[parameter.index()]; }
  /// Elements of parameters that are gathered or in flight, without the persistent ones.
  std::int64_t live_elements() const { return live_; }

 private:
  enum class Mode : std::uint8_t { invalid, record, complete };
  enum class Status : std::uint8_t { absent, in_flight, available };
  struct Use {
    ParameterId parameter;
    std::int64_t visit;
  };

  void gather(Parameters parameters);
  void prefetch(ModuleId module);
  void read_ahead();
  void partition(ParameterId parameter);
  void find_leaf_modules();
  void mark_reused(bool leaf);
  std::int64_t mark_subtree(ModuleId module);
  std::int64_t numel(ParameterId p) const { return architecture_.parameter(p).numel; }

  const Architecture& architecture_;
  CoordinatorConfig config_;
  Actions actions_;
  std::optional<Drives> drives_;
  Mode mode_ = Mode::invalid;
  std::vector<ModuleId> order_;  ///< module visits of the recorded micro-step
  std::vector<Use> uses_;        ///< (parameter, visit) in visit order
  std::size_t next_use_ = 0;     ///< head of the prefetch queue, an index into uses_
  std::int64_t visit_ = 0;
  std::int64_t gathered_ = 0;  ///< what DeepSpeed counts as available: persistent ones included
  std::int64_t live_ = 0;
  std::vector<std::vector<ParameterId>> parameters_;  ///< by module
  std::vector<bool> inside_leaf_;                     ///< by module
  std::vector<ModuleId> leaf_of_;                     ///< by parameter
  std::vector<bool> persistent_;
  std::vector<Status> status_;
  std::vector<std::int64_t> latest_;  ///< last visit for which the queue has passed this parameter
  std::vector<std::int32_t> active_;  ///< modules that use it right now
  std::vector<bool> queued_;
  std::vector<std::int64_t> reused_;  ///< last release that found the parameter within the reuse distance
  std::int64_t releases_ = 0;
};

}  // namespace shardsim
