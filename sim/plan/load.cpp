#include "sim/plan/load.hpp"

#include <algorithm>
#include <vector>

#include "model/core/units.hpp"
#include "sim/plan/deepspeed.hpp"
#include "sim/plan/fsdp_units.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

constexpr std::int64_t broadcast_buffer_bytes = std::int64_t{250} << 20;
constexpr std::int64_t broadcasts_in_flight = 2;

class Loader {
 public:
  Loader(const StrategyContext& context, Strategy& strategy)
      : request_(context.request),
        architecture_(context.architecture),
        recorder_(context.recorder),
        strategy_(strategy),
        element_(size_of(weight_type(context.request.precision))) {}

  void replicas() {
    if (quantizes()) {
      quantize();
    } else {
      const TensorId model = host_model();
      strategy_.initialise();
      recorder_.release(model);
    }
    if (recorder_.world() == 1) return;
    const std::int64_t buffer = std::min(model_bytes(), broadcast_buffer_bytes);
    passing(broadcasts_in_flight * buffer, "broadcast buffers");
  }

  void device_map() {
    if (quantizes()) {
      quantize();
    } else {
      strategy_.initialise();
    }
  }

  void zero12() {
    const TensorId model = host(quantizes() ? 0 : model_bytes(), "model as loaded");
    if (quantizes()) passing(largest_weight() * element_, "weight to quantize");
    std::vector<TensorId> originals;
    for (const Parameter& parameter : architecture_.parameters) {
      originals.push_back(recorder_.allocate(Category::weights, stored_bytes(parameter), "unflattened weight"));
    }
    recorder_.release(model);
    const std::int64_t flat = architecture_.trainable_count() * element_;
    const std::int64_t room = recorder_.device().spec.memory.value() - model_bytes() - flat;
    if (room > 0) passing(flat, "flat copy");
    for (const TensorId original : originals) recorder_.release(original);
    // Where the device has no room, the parameters wait in host memory while their flat copy is made there.
    if (room <= 0) recorder_.release(host(2 * flat, "weights to flatten"));
    recorder_.empty_cache();
    strategy_.initialise();
    if (!request_.offload.optimizer) passing(partition_bytes(), "zero gradients");
  }

  void zero3() {
    const ZeroSizes sizes = zero_sizes(request_.precision);
    if (request_.offload.parameters_on_nvme) {  // each partition goes to the drives as it is made
      passing(largest_module() * sizes.weight, "module before it is partitioned");
      strategy_.initialise();
      return;
    }
    const bool on_host = request_.offload.parameters;
    std::vector<TensorId> partitions;
    std::int64_t total = 0;
    for (const Parameter& parameter : architecture_.parameters) {
      const std::int64_t bytes = parameter.quantization ? stored_bytes(parameter)
                                                        : ceil_div(parameter.numel, recorder_.world()) * sizes.weight;
      total += bytes;
      partitions.push_back(on_host ? recorder_.allocate_host(pinned_pool(), Category::weights, bytes, "partition")
                                   : recorder_.allocate(Category::weights, bytes, "partition"));
    }
    passing(largest_module() * sizes.weight, "module before it is partitioned");
    if (on_host) {
      strategy_.initialise();
      for (const TensorId partition : partitions) recorder_.release(partition);
      return;
    }
    const TensorId moved = host(total, "partitions to flatten");
    for (const TensorId partition : partitions) recorder_.release(partition);
    recorder_.empty_cache();
    strategy_.initialise();
    recorder_.release(moved);
  }

  /// accelerate does not move 4-bit weights to the meta device for FSDP2 (utils/fsdp_utils.py, fsdp2_prepare_model):
  /// each rank has the whole model on its device before it is sharded.
  void fsdp2_of_quantized() {
    passing(largest_weight() * element_, "weight to quantize");
    passing(model_bytes(), "quantized model");
    recorder_.empty_cache();
    strategy_.initialise();
  }

  void fsdp() {
    const bool holds_model = recorder_.is_rank_0() || !request_.fsdp.cpu_ram_efficient_loading;
    const TensorId model = holds_model ? host_model() : TensorId{};
    // Loaded in the checkpoint's type; what the optimizer updates in fp32 is upcast once it is sharded.
    std::vector<TensorId> shards;
    if (keeps_master_weights(request_.precision) && !request_.offload.any() && !architecture_.adapted()) {
      for (const std::int64_t elements : fsdp_shards()) {
        shards.push_back(recorder_.allocate(Category::weights, elements * element_, "loaded shard"));
      }
    }
    std::int64_t largest = 0;
    if (is_fsdp1(request_.kind)) {
      for (const FlatUnit& unit : flat_units(architecture_, recorder_.world()))
        largest = std::max(largest, unit.elements);
      passing(2 * largest * element_, "unit and its flat copy");
    } else {
      for (const Parameter& parameter : architecture_.parameters) largest = std::max(largest, stored_bytes(parameter));
      passing(largest, "broadcast weight");
    }
    for (const TensorId shard : shards) recorder_.release(shard);
    recorder_.empty_cache();
    strategy_.initialise();
    if (model.valid()) recorder_.release(model);
  }

 private:
  /// In the checkpoint's type, or quantized.
  std::int64_t stored_bytes(const Parameter& parameter) const {
    return parameter.quantization ? parameter.stored_bytes(DType::bf16) : parameter.numel * element_;
  }
  std::int64_t model_bytes() const {
    std::int64_t bytes = 0;
    for (const Parameter& parameter : architecture_.parameters) bytes += stored_bytes(parameter);
    return bytes;
  }
  bool quantizes() const { return request_.peft.quantizes(); }
  std::int64_t largest_weight() const {
    std::int64_t largest = 0;
    for (const Parameter& parameter : architecture_.parameters) largest = std::max(largest, parameter.numel);
    return largest;
  }
  /// Weight by weight: each is moved up in 16 bits, and its quantized form stays (transformers,
  /// quantizers/quantizer_bnb_4bit.py); checkpoint files are mapped.
  void quantize() {
    passing(largest_weight() * element_, "weight to quantize");
    strategy_.initialise();
  }
  Pool pinned_pool() const { return *request_.pin_memory ? Pool::pinned : Pool::pageable; }

  TensorId host(std::int64_t bytes, const char* label) {
    return recorder_.allocate_host(Pool::pageable, Category::weights, bytes, label);
  }
  TensorId host_model() { return host(model_bytes(), "model as loaded"); }

  /// Device memory that is there for a moment.
  void passing(std::int64_t bytes, const char* label) {
    recorder_.release(recorder_.allocate(Category::buffers, bytes, label));
  }

  std::vector<std::int64_t> fsdp_shards() const {
    std::vector<std::int64_t> shards;
    if (is_fsdp1(request_.kind)) {
      for (const FlatUnit& unit : flat_units(architecture_, recorder_.world())) shards.push_back(unit.shard);
      return shards;
    }
    for (const Parameter& parameter : architecture_.parameters) {
      const std::int64_t rows = ceil_div(parameter.shape.front(), recorder_.world());
      shards.push_back(rows * (parameter.numel / parameter.shape.front()));
    }
    return shards;
  }

  std::int64_t partition_bytes() const {
    std::int64_t elements = 0;
    for (const FlatGroup& group :
         flat_groups(architecture_, recorder_.rank(), recorder_.world(), grouping_of(request_))) {
      elements += group.partition;
    }
    return elements * zero_sizes(request_.precision).master;
  }

  /// Elements of the module with the largest parameters of its own.
  std::int64_t largest_module() const {
    std::int64_t largest = 0;
    for (const Module& module : architecture_.modules) {
      std::int64_t own = 0;
      for (const ParameterId p : module.parameters) own += architecture_.parameter(p).numel;
      largest = std::max(largest, own);
    }
    return largest;
  }

  const Request& request_;
  const Architecture& architecture_;
  Recorder& recorder_;
  Strategy& strategy_;
  std::int64_t element_;  ///< bytes of one in the checkpoint
};

enum class LoadPath : std::uint8_t { replicas, zero12, zero3, fsdp, fsdp2_of_quantized, device_map };

LoadPath path_of(const Request& request) {
  if (is_fsdp2(request.kind) && request.peft.quantizes()) return LoadPath::fsdp2_of_quantized;
  switch (request.kind) {
    case StrategyKind::single:
    case StrategyKind::ddp:
      return LoadPath::replicas;
    case StrategyKind::zero1:
    case StrategyKind::zero2:
      return LoadPath::zero12;
    case StrategyKind::zero3:
      return LoadPath::zero3;
    case StrategyKind::device_map:
      return LoadPath::device_map;
    default:
      return LoadPath::fsdp;
  }
}

}  // namespace

void record_load(const StrategyContext& context, Strategy& strategy) {
  Loader loader(context, strategy);
  switch (path_of(context.request)) {
    case LoadPath::replicas:
      loader.replicas();
      break;
    case LoadPath::zero12:
      loader.zero12();
      break;
    case LoadPath::zero3:
      loader.zero3();
      break;
    case LoadPath::fsdp:
      loader.fsdp();
      break;
    case LoadPath::fsdp2_of_quantized:
      loader.fsdp2_of_quantized();
      break;
    case LoadPath::device_map:
      loader.device_map();
      break;
  }
  context.recorder.empty_cache();
}

std::string describe_load(const Request& request) {
  switch (path_of(request)) {
    case LoadPath::replicas:
    case LoadPath::zero12:
      if (request.peft.quantizes()) {
        return "each weight moves to the device in 16 bits and is quantized there (device_map); checkpoint files are "
               "mapped";
      }
      return "each rank loads the whole model into host memory (from_pretrained) before it moves to the device";
    case LoadPath::zero3:
      return "the model is loaded under zero.Init: each module is partitioned as it is made, and checkpoint files are "
             "mapped, which takes page cache but no memory of a rank; without it every rank holds the whole model";
    case LoadPath::device_map:
      return request.peft.quantizes()
                 ? "each weight moves onto its device in 16 bits and is quantized there; checkpoint files are mapped"
                 : "each tensor is read from its mapped file straight onto its device";
    case LoadPath::fsdp2_of_quantized:
      return "each rank quantizes the whole model on its device before FSDP2 shards it: accelerate does not take 4-bit "
             "weights through the meta device";
    case LoadPath::fsdp:
      break;
  }
  return request.fsdp.cpu_ram_efficient_loading
             ? "rank 0 alone loads the model into host memory and broadcasts it (cpu_ram_efficient_loading)"
             : "each rank loads the whole model into host memory (cpu_ram_efficient_loading is off)";
}

bool loads_on_rank_0(const Request& request) {
  return path_of(request) == LoadPath::fsdp && request.fsdp.cpu_ram_efficient_loading;
}

}  // namespace shardsim
