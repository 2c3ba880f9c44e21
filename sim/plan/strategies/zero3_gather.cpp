// ZeRO-3: parameters come and go.
#include "sim/cost/constants.hpp"
#include "sim/plan/strategies/zero3.hpp"

namespace shardsim {
namespace {

constexpr std::size_t max_fetch_events = 2;

}  // namespace

void Zero3::partition(ParameterId p) {
  // free_param also records the compute stream, so that what the host frees early serves again late. Measured ZeRO-3
  // runs show none of it (Qwen's LoRA at 1024 to 8192 tokens, tests/published): their host is hardly ahead of the
  // device, ours, with the assumed times of its hooks, is.
  recorder_.reset(states_[p.index()].weight);
  if (is_on_drives(p)) parameter_swap_->release(p);
}

void Zero3::fetch(ModuleId module) {
  if (!coordinator_.has_hooks(module)) return;
  recorder_.spend(cost_constants().hooks.zero3_hook);
  coordinator_.fetch(module);
}

void Zero3::release(ModuleId module) {
  if (!coordinator_.has_hooks(module)) return;
  recorder_.spend(cost_constants().hooks.zero3_hook);
  coordinator_.release(module);
}

// One parameter is gathered in place; several through a flat buffer. One rank alone has nothing to gather: the
// parameter is its partition, or a copy of it from host memory.
void Zero3::gather(ParameterCoordinator::Parameters parameters) {
  if (!gathers()) return;
  std::int64_t total = 0;
  for (const ParameterId p : parameters) total += padded_bytes(p);
  buckets_.push_back({{parameters.begin(), parameters.end()}, {}, {}, parameters.size(), false});
  GatherBucket& bucket = buckets_.back();
  for (const ParameterId p : parameters) states_[p.index()].bucket = buckets_.size() - 1;
  if (recorder_.world() == 1) {
    for (const ParameterId p : parameters) {
      if (is_on_drives(p)) parameter_swap_->require(p);
      states_[p.index()].weight = recorder_.allocate(Category::gathered, padded_bytes(p), "parameter", all_gather_);
      bucket.done = recorder_.copy(Direction::to_device, static_cast<double>(padded_bytes(p)),
                                   pinned_ && !is_on_drives(p), "upload parameter", all_gather_);
    }
    bucket.rebuilt = true;
    return;
  }
  if (parameters.size() == 1) {
    TensorId& weight = states_[parameters.front().index()].weight;
    weight = recorder_.allocate(Category::gathered, total, "parameter", all_gather_);
    bucket.rebuilt = true;
  } else {
    bucket.flat = recorder_.allocate(Category::buffers, total, "all-gather flat", all_gather_);
  }
  for (const ParameterId p : parameters) upload_partition(p);
  recorder_.elementwise(2.0 * static_cast<double>(total) / static_cast<double>(recorder_.world()), "copy-in",
                        all_gather_);
  recorder_.collective(CollectiveKind::all_gather, static_cast<double>(total), "all-gather", all_gather_);
  bucket.done = recorder_.record(all_gather_);
}

// offload_param: `ds_tensor.to(device)` blocks the host. Swap buffers are locked, but not registered with CUDA.
void Zero3::upload_partition(ParameterId p) {
  if (!request_.offload.parameters) return;
  if (is_on_drives(p)) parameter_swap_->require(p);
  const std::int64_t bytes = partition_of(p) * sizes_.weight;
  const TensorId uploaded = recorder_.allocate(Category::buffers, bytes, "uploaded partition", all_gather_);
  recorder_.synchronize(recorder_.copy(Direction::to_device, static_cast<double>(bytes), pinned_ && !is_on_drives(p),
                                       "upload partition", all_gather_));
  recorder_.release(uploaded);
}

// The first wait on a bucket rebuilds all of its parameters; the flat buffer goes with its last one. The host runs
// ahead of the gathers by a few waits at most.
void Zero3::await(ParameterId p) {
  if (!gathers()) return;
  GatherBucket& bucket = buckets_[states_[p.index()].bucket];
  if (fetch_events_.size() > max_fetch_events) {
    recorder_.synchronize(fetch_events_.front());
    fetch_events_.pop_front();
  }
  if (recorder_.world() == 1) recorder_.synchronize(bucket.done);
  if (!bucket.rebuilt) {
    bucket.rebuilt = true;
    for (const ParameterId member : bucket.parameters) {
      const std::int64_t bytes = padded_bytes(member);
      states_[member.index()].weight = recorder_.allocate(Category::gathered, bytes, "parameter", all_gather_);
      recorder_.elementwise(2.0 * static_cast<double>(bytes), "cat", all_gather_);
    }
  }
  if (--bucket.waiting == 0) recorder_.reset(bucket.flat);
  fetch_events_.push_back(recorder_.record(all_gather_));
}

// _post_step: one all-gather for each, on the compute stream; one rank alone copies them from host memory.
void Zero3::gather_persistent() {
  if (!gathers()) return;
  const StreamId stream = Recorder::compute_stream();
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const ParameterId p(i);
    if (!coordinator_.is_persistent(p)) continue;
    states_[i].weight = recorder_.allocate(Category::gathered, padded_bytes(p), "persistent parameter", stream);
    if (recorder_.world() == 1) {
      recorder_.copy(Direction::to_device, static_cast<double>(padded_bytes(p)), pinned_, "upload parameter", stream);
      continue;
    }
    upload_partition(p);
    recorder_.collective(CollectiveKind::all_gather, static_cast<double>(padded_bytes(p)), "all-gather persistent",
                         stream);
  }
  if (recorder_.world() == 1) recorder_.synchronize_stream(stream);
}

}  // namespace shardsim
