#include "sim/plan/parameter_coordinator.hpp"

#include <algorithm>
#include <limits>

#include "model/core/check.hpp"

namespace shardsim {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::min();

bool is_leaf(const Module& module) {
  return module.class_name == "MixtralSparseMoeBlock" || module.class_name == "Qwen3MoeSparseMoeBlock" ||
         module.class_name == "DeepseekV3MoE";
}

}  // namespace

ParameterCoordinator::ParameterCoordinator(const Architecture& architecture, const CoordinatorConfig& config,
                                           Actions actions)
    : architecture_(architecture),
      config_(config),
      actions_(std::move(actions)),
      inside_leaf_(architecture.modules.size(), false),
      leaf_of_(architecture.parameters.size()),
      persistent_(architecture.parameters.size()),
      status_(architecture.parameters.size(), Status::absent),
      latest_(architecture.parameters.size(), never),
      active_(architecture.parameters.size(), 0),
      queued_(architecture.parameters.size(), false),
      reused_(architecture.parameters.size(), 0) {
  for (const Module& module : architecture.modules) parameters_.push_back(module.parameters);
  find_leaf_modules();
  for (std::vector<ParameterId>& parameters : parameters_) {  // quantized ones are never partitioned
    std::erase_if(parameters, [&](ParameterId p) { return architecture.parameter(p).quantization.has_value(); });
  }
  for (std::size_t i = 0; i < persistent_.size(); ++i) {
    const Parameter& parameter = architecture.parameters[i];
    persistent_[i] = !parameter.quantization && parameter.numel <= config.persistence_threshold;
  }
}

// Parents stand before their children, so a leaf is known before anything inside it.
void ParameterCoordinator::find_leaf_modules() {
  std::vector<ModuleId> leaf_above(architecture_.modules.size());
  for (std::size_t i = 0; i < architecture_.modules.size(); ++i) {
    const Module& module = architecture_.modules[i];
    const ModuleId above = module.parent.valid() ? leaf_above[module.parent.index()] : ModuleId{};
    leaf_above[i] = above.valid() || !is_leaf(module) ? above : ModuleId(i);
    inside_leaf_[i] = above.valid();
    if (!leaf_above[i].valid()) continue;
    for (const ParameterId p : module.parameters) {
      leaf_of_[p.index()] = leaf_above[i];
      if (above.valid()) parameters_[above.index()].push_back(p);
    }
  }
}

void ParameterCoordinator::begin_micro_step() {
  for (std::size_t i = 0; i < status_.size(); ++i) {
    if (status_[i] != Status::in_flight) continue;
    actions_.await(ParameterId(i));
    partition(ParameterId(i));
  }
  if (mode_ == Mode::record) {
    uses_.clear();
    for (std::size_t v = 0; v < order_.size(); ++v) {
      for (const ParameterId p : parameters_of(order_[v])) {
        uses_.push_back({p, static_cast<std::int64_t>(v)});
      }
    }
    mode_ = Mode::complete;
  } else if (mode_ == Mode::invalid) {
    order_.clear();
    mode_ = Mode::record;
  }
  next_use_ = 0;
  visit_ = 0;
  gathered_ = 0;
  std::fill(latest_.begin(), latest_.end(), never);
}

void ParameterCoordinator::gather(Parameters parameters) {
  if (parameters.empty()) return;
  for (const ParameterId p : parameters) {
    status_[p.index()] = Status::in_flight;
    gathered_ += numel(p);
    if (!persistent_[p.index()]) live_ += numel(p);
  }
  actions_.gather(parameters);
}

void ParameterCoordinator::fetch(ModuleId id) {
  if (!has_hooks(id)) return;
  if (mode_ == Mode::complete) {
    const auto v = static_cast<std::size_t>(visit_);
    if (v >= order_.size() || order_[v] != id) mode_ = Mode::invalid;
  }
  if (mode_ == Mode::record) order_.push_back(id);
  std::vector<ParameterId> needed;
  for (const ParameterId p : parameters_of(id)) {
    if (status_[p.index()] == Status::absent) needed.push_back(p);
  }
  gather(needed);
  for (const ParameterId p : parameters_of(id)) {
    ++active_[p.index()];
    if (status_[p.index()] != Status::in_flight) continue;
    actions_.await(p);
    status_[p.index()] = Status::available;
  }
  actions_.fetched();
  if (mode_ == Mode::complete) prefetch(id);
  ++visit_;
}

// Walks the queue past this module's own uses, then ahead of it. The room is computed anew at every fetch, so the
// look-ahead grows hook by hook until max_live_parameters are gathered.
void ParameterCoordinator::prefetch(ModuleId id) {
  std::size_t fresh = 0;
  for (const ParameterId p : parameters_of(id)) fresh += latest_[p.index()] < visit_ ? 1 : 0;
  while (fresh > 0 && next_use_ < uses_.size()) {
    const Use& use = uses_[next_use_++];
    if (latest_[use.parameter.index()] < visit_) --fresh;
    latest_[use.parameter.index()] = use.visit;
  }
  SHARDSIM_CHECK(fresh == 0, "the prefetch queue holds every use of the trace");
  if (config_.prefetch_bucket <= 0) return;
  const std::int64_t room = std::min(config_.max_live_parameters - gathered_, config_.prefetch_bucket);
  std::int64_t taken = 0;
  std::vector<ParameterId> ahead;
  while (next_use_ < uses_.size() && taken < room) {
    if (drives_ && drives_->is_away(uses_[next_use_].parameter)) break;
    const Use& use = uses_[next_use_++];
    const std::size_t p = use.parameter.index();
    latest_[p] = std::max(latest_[p], use.visit);
    if (status_[p] != Status::absent || queued_[p]) continue;
    queued_[p] = true;
    ahead.push_back(use.parameter);
    taken += numel(use.parameter);
  }
  for (const ParameterId p : ahead) queued_[p.index()] = false;
  gather(ahead);
  if (drives_) read_ahead();
}

// __prefetch_nvme_param_partitions: from the head of the queue on, until twice the elements in flight were looked at or
// the buffers are spoken for.
void ParameterCoordinator::read_ahead() {
  std::int64_t in_flight = 0;
  for (std::size_t i = 0; i < status_.size(); ++i) {
    if (status_[i] == Status::in_flight) in_flight += numel(ParameterId(i));
  }
  const std::size_t buffers = drives_->free_buffers();
  std::int64_t considered = 0;
  std::vector<ParameterId> wanted;
  for (std::size_t u = next_use_; u < uses_.size(); ++u) {
    const ParameterId p = uses_[u].parameter;
    if (!drives_->holds(p)) continue;
    if (considered > 2 * in_flight || wanted.size() >= buffers) break;
    const bool known = std::find(wanted.begin(), wanted.end(), p) != wanted.end();
    if (drives_->is_away(p) && !known) wanted.push_back(p);
    considered += numel(p);
  }
  drives_->read_ahead(wanted);
}

// What is used again soon: within max_reuse_distance elements of the trace from here. A leaf module's release looks
// into the subtrees of the modules to come, any other's at their direct parameters alone (`iter_params(module,
// recurse=z3_leaf_module(submodule_to_release))`).
void ParameterCoordinator::mark_reused(bool leaf) {
  ++releases_;
  std::int64_t distance = 0;
  for (std::size_t v = static_cast<std::size_t>(visit_); v < order_.size() && distance < config_.max_reuse_distance;
       ++v) {
    if (leaf) {
      distance += mark_subtree(order_[v]);
      continue;
    }
    for (const ParameterId p : architecture_.module(order_[v]).parameters) {
      if (architecture_.parameter(p).quantization) continue;
      reused_[p.index()] = releases_;
      distance += numel(p);
    }
  }
}

std::int64_t ParameterCoordinator::mark_subtree(ModuleId id) {
  const Module& module = architecture_.module(id);
  std::int64_t elements = 0;
  for (const ParameterId p : module.parameters) {
    if (architecture_.parameter(p).quantization) continue;
    reused_[p.index()] = releases_;
    elements += numel(p);
  }
  for (const ModuleId child : module.children) elements += mark_subtree(child);
  return elements;
}

void ParameterCoordinator::release(ModuleId id) {
  if (!has_hooks(id) || parameters_of(id).empty()) return;
  if (mode_ == Mode::complete) mark_reused(is_leaf(architecture_.module(id)));
  for (const ParameterId p : parameters_of(id)) {
    --active_[p.index()];
    bool releases = true;
    if (mode_ == Mode::complete) {
      releases = !persistent_[p.index()] && latest_[p.index()] <= visit_ && reused_[p.index()] != releases_;
    }
    if (releases && status_[p.index()] == Status::available && active_[p.index()] == 0) partition(p);
  }
}

void ParameterCoordinator::partition(ParameterId p) {
  status_[p.index()] = Status::absent;
  gathered_ -= numel(p);
  if (!persistent_[p.index()]) live_ -= numel(p);
  actions_.release(p);
}

void ParameterCoordinator::release_all() {
  for (std::size_t i = 0; i < status_.size(); ++i) {
    active_[i] = 0;
    if (status_[i] == Status::absent) continue;
    if (status_[i] == Status::in_flight) actions_.await(ParameterId(i));
    partition(ParameterId(i));
  }
}

void ParameterCoordinator::mark_persistent_available() {
  for (std::size_t i = 0; i < status_.size(); ++i) {
    if (persistent_[i]) status_[i] = Status::available;
  }
}

}  // namespace shardsim
