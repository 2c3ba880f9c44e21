// Naive model parallelism: one process whose layers lie on several GPUs (from_pretrained(device_map="auto"),
// accelerate's dispatch_model). Hooks move the hidden state to the device of each module before it runs, and autograd
// moves the gradient back, so the devices work in turn. Each device updates the parameters that lie on it.
//
// The same host thread is recorded once a device, and muted where it works for another one. Left out: that the root's
// hook brings the logits back to the first GPU, and that a moved tensor's source lives until autograd drops it here.
#include "sim/plan/device_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "model/core/error.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

/// The embedding's own, where it was cast up; else that of the products.
DType hidden_type(const StrategyContext& context) {
  const DType otherwise = compute_type(context.request.precision);
  for (const Module& module : context.architecture.modules) {
    if (module.kind != ModuleKind::embedding || module.is_copied()) continue;
    return context.architecture.parameter(module.parameters.front()).type.value_or(otherwise);
  }
  return otherwise;
}

class DeviceMapped : public Strategy {
 public:
  explicit DeviceMapped(const StrategyContext& context)
      : recorder_(context.recorder),
        rank_(static_cast<std::int32_t>(context.recorder.rank())),
        map_(map_devices(context.request, context.recorder.cluster().topology(), context.architecture)),
        part_(part_on_device(context.architecture, map_, rank_)),
        peer_(recorder_.stream("peer")),
        moved_bytes_(context.request.micro_batch * context.request.seq_len * context.architecture.dims.hidden *
                     size_of(hidden_type(context))),
        holds_parameters_(context.architecture.modules.size()),
        local_(make_single({context.request, part_, context.graph, context.recorder})) {
    for (std::size_t m = 0; m < holds_parameters_.size(); ++m) {
      if (context.architecture.modules[m].parameters.empty()) continue;
      for (ModuleId at(m); at.valid(); at = context.architecture.module(at).parent)
        holds_parameters_[at.index()] = true;
    }
  }

  void initialise() override {
    recorder_.forget_communicator();
    local_->initialise();
  }

  void begin_forward(std::int64_t micro_step, bool boundary) override {
    local_->begin_forward(micro_step, boundary);
    current_ = 0;
    recorder_.mute(rank_ != current_);
  }
  void pre_forward(ModuleId module) override { move_to(module); }
  void pre_backward(ModuleId module) override { move_to(module); }
  void post_backward(ModuleId module) override {
    const auto found = arrived_.find(module.index());
    if (found == arrived_.end()) return;
    for (const TensorId tensor : found->second) recorder_.release(tensor);
    arrived_.erase(found);
  }
  void gradient_ready(ParameterId parameter, TensorId gradient) override {
    local_->gradient_ready(parameter, gradient);
  }
  void end_backward() override { recorder_.mute(false); }
  void optimizer_step() override { local_->optimizer_step(); }

 private:
  // The hidden state or its gradient follows the work; every program counts every move.
  void move_to(ModuleId module) {
    const std::int32_t next = map_.device[module.index()];
    if (next == DeviceMap::several || next == current_ || !holds_parameters_[module.index()]) return;
    const std::int32_t before = std::exchange(current_, next);
    const std::size_t meeting = moves_++;
    if (rank_ == before) {
      recorder_.wait_stream(peer_, Recorder::compute_stream());
      recorder_.rendezvous(Occasion::move, meeting, peer_);
    }
    recorder_.mute(rank_ != next);
    if (rank_ != next) return;
    arrived_[module.index()].push_back(recorder_.allocate(Category::activations, moved_bytes_, "moved hidden state"));
    recorder_.rendezvous(Occasion::move, meeting, peer_);
    recorder_.peer_copy(DeviceId(static_cast<std::size_t>(before)), static_cast<double>(moved_bytes_), "move", peer_);
    recorder_.wait_stream(Recorder::compute_stream(), peer_);
  }

  Recorder& recorder_;
  std::int32_t rank_;
  DeviceMap map_;
  Architecture part_;
  StreamId peer_;
  std::int64_t moved_bytes_;
  std::vector<bool> holds_parameters_;  ///< by module, with all below it
  std::unique_ptr<Strategy> local_;
  std::int32_t current_ = 0;
  std::size_t moves_ = 0;
  std::map<std::size_t, std::vector<TensorId>> arrived_;  ///< until the module's backward is done
};

}  // namespace

Architecture part_on_device(const Architecture& architecture, const DeviceMap& map, std::int32_t device) {
  Architecture part = architecture;
  std::vector<bool> here(part.parameters.size());
  for (std::size_t m = 0; m < architecture.modules.size(); ++m) {
    if (map.device[m] != device) continue;
    for (const ParameterId p : architecture.modules[m].parameters) here[p.index()] = true;
  }
  for (std::size_t p = 0; p < here.size(); ++p) {
    if (here[p]) continue;
    part.parameters[p].numel = 0;
    part.parameters[p].shape = {1, 0};
    part.parameters[p].quantization.reset();
  }
  return part;
}

DeviceMap map_devices(const Request& request, const Topology& topology, const Architecture& architecture) {
  if (topology.hosts.size() > 1) {
    throw InputError("a device map spreads one process over the GPUs of one machine",
                     "--strategy device-map --topology " + request.topology, "one node, or fsdp or zero3 for several");
  }
  MaxMemory free;
  for (const Device& device : topology.devices) {
    free.gpus.push_back((device.spec.memory - device.spec.context_memory).value());
  }
  free.cpu = topology.hosts.front().memory.value();
  const std::int64_t element = size_of(weight_type(request.precision));
  DeviceMap map = infer_device_map(architecture, element, balanced_memory(architecture, element, free));
  std::int64_t away = 0;
  for (std::size_t m = 0; m < map.device.size(); ++m) {
    if (map.device[m] < map.gpus) continue;
    for (const ParameterId p : architecture.modules[m].parameters) {
      away += architecture.parameter(p).stored_bytes(weight_type(request.precision));
    }
  }
  if (away > 0) {
    throw InputError(fmt::format("{:.1f} GB of weights fit no GPU and would lie in CPU memory or on disk, from where "
                                 "accelerate computes but does not train",
                                 static_cast<double>(away) / 1e9),
                     "--strategy device-map --topology " + request.topology, "more or larger GPUs, or zero3-offload");
  }
  return map;
}

std::unique_ptr<Strategy> make_device_map(const StrategyContext& context) {
  return std::make_unique<DeviceMapped>(context);
}

}  // namespace shardsim
