#include "sim/plan/optimizer.hpp"

#include <utility>

namespace shardsim {

Optimizer::Optimizer(Recorder& recorder, const OptimizerSetting& setting, std::vector<OptimizedTensor> tensors)
    : recorder_(recorder), setting_(setting), tensors_(std::move(tensors)), has_states_(tensors_.size(), false) {}

void Optimizer::allocate(const StateTensor& state) {
  if (!state.paged) {
    recorder_.allocate(Category::optimizer, state.bytes, state.name);
  } else if (setting_.paged == PagedStates::on_device) {
    recorder_.allocate_managed(state.bytes);
  } else {
    recorder_.allocate_host(Pool::pageable, Category::optimizer, state.bytes, state.name);
  }
}

bool Optimizer::create_states(std::size_t index) {
  if (!has_shared_states_) {
    has_shared_states_ = true;
    for (const StateTensor& state : shared_state_tensors(setting_.kind)) allocate(state);
  }
  if (has_states_[index]) return false;
  has_states_[index] = true;
  for (const StateTensor& state : state_tensors(setting_.kind, tensors_[index])) allocate(state);
  const std::int64_t bytes = bytes_of_states(index);
  if (bytes > 0) recorder_.elementwise(static_cast<double>(bytes), "zero moments");
  return true;
}

std::int64_t Optimizer::bytes_of_states(std::size_t index, bool only_paged) const {
  std::int64_t sum = 0;
  for (const StateTensor& state : state_tensors(setting_.kind, tensors_[index])) {
    if (state.paged || !only_paged) sum += state.bytes;
  }
  return sum;
}

std::unique_ptr<Optimizer> make_optimizer(const StrategyContext& context, std::vector<OptimizedTensor> tensors) {
  const OptimizerSetting setting{context.request.optimizer, context.request.optimizer_impl, context.paged};
  if (is_bitsandbytes(setting.kind)) return make_bitsandbytes(context.recorder, setting, std::move(tensors));
  if (setting.kind == OptimizerKind::adafactor) return make_adafactor(context.recorder, setting, std::move(tensors));
  if (setting.kind == OptimizerKind::muon) return make_muon(context.recorder, setting, std::move(tensors));
  return make_torch_optimizer(context.recorder, setting, std::move(tensors));
}

void clip_gradients(Recorder& recorder, double bytes, bool sharded) {
  recorder.elementwise(bytes, "gradient norm");
  if (sharded) recorder.collective(CollectiveKind::all_reduce, 4, "all-reduce norm", Recorder::compute_stream());
  recorder.wait(Recorder::compute_stream(), recorder.last_collective());
  recorder.elementwise(2 * bytes, "clip");
}

}  // namespace shardsim
