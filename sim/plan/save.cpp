#include "sim/plan/save.hpp"

#include <vector>

#include "model/core/error.hpp"
#include "model/core/units.hpp"
#include "sim/plan/deepspeed.hpp"
#include "sim/plan/device_map.hpp"
#include "sim/plan/fsdp_units.hpp"
#include "sim/plan/strategies/strategies.hpp"

namespace shardsim {
namespace {

enum class Runtime : std::uint8_t { replicas, device_map, deepspeed, fsdp };

Runtime runtime_of(StrategyKind kind) {
  switch (kind) {
    case StrategyKind::single:
    case StrategyKind::ddp:
      return Runtime::replicas;
    case StrategyKind::device_map:
      return Runtime::device_map;
    case StrategyKind::zero1:
    case StrategyKind::zero2:
    case StrategyKind::zero3:
      return Runtime::deepspeed;
    default:
      return Runtime::fsdp;
  }
}

class Saver {
 public:
  explicit Saver(const StrategyContext& context)
      : request_(context.request),
        architecture_(context.architecture),
        recorder_(context.recorder),
        down_(recorder_.stream("save")) {}

  /// What this rank holds of a category, tensor by tensor; where others hold the same, each writes a part of it.
  void write_own(Category category) {
    for (const TensorId id : recorder_.live(category)) {
      Tensor tensor = recorder_.tensor(id);
      tensor.bytes = ceil_div(tensor.bytes, recorder_.replicas());
      if (tensor.pool == Pool::device) {
        const TensorId staged = download(tensor.bytes, category);
        write(tensor.bytes, category);
        recorder_.release(staged);
        continue;
      }
      if (tensor.pool == Pool::storage) {
        recorder_.synchronize(
            recorder_.storage(StorageAccess::read, static_cast<double>(tensor.bytes), "read states", down_));
      }
      write(tensor.bytes, category);
    }
  }

  static bool is_trained(const Parameter& parameter) { return parameter.trainable; }
  static bool is_quantized(const Parameter& parameter) { return parameter.quantization.has_value(); }

  /// Parameters that this rank holds whole.
  void write_whole(bool (*wanted)(const Parameter&)) { write_parameters(architecture_, wanted); }
  void write_parameters(const Architecture& held, bool (*wanted)(const Parameter&)) {
    const DType otherwise = weight_type(request_.precision);
    for (const Parameter& parameter : held.parameters) {
      if (!wanted(parameter) || parameter.numel == 0) continue;
      const std::int64_t bytes = parameter.stored_bytes(otherwise);
      const TensorId staged = download(bytes, Category::weights);
      write(bytes, Category::weights);
      recorder_.release(staged);
    }
  }

  /// ZeRO-3's weights, module by module; of quantized ones every rank has a copy.
  void gather_partitions(bool trained_only) {
    const std::int64_t element = zero_sizes(request_.precision).weight;
    std::vector<bool> seen(architecture_.parameters.size());
    for (const Module& module : architecture_.modules) {
      std::int64_t partition = 0;
      for (const ParameterId p : module.parameters) {
        const Parameter& parameter = architecture_.parameter(p);
        if (seen[p.index()] || is_quantized(parameter) || (trained_only && !is_trained(parameter))) continue;
        seen[p.index()] = true;
        partition += ceil_div(parameter.numel, recorder_.world()) * element;
      }
      if (partition > 0) collect(partition, request_.offload.parameters, Category::weights, true);
    }
    write_collected(Category::weights);
  }

  /// FSDP's parameters, or so many states of each that is trained.
  void gather_shards(Category category, std::int64_t bytes_per_element, int states, bool trained_only) {
    if (is_fsdp1(request_.kind)) {
      for (const FlatUnit& unit : flat_units(architecture_, recorder_.world())) {
        if (trained_only && !unit.trained) continue;
        const std::int64_t element = unit.trained ? bytes_per_element : size_of(weight_type(request_.precision));
        for (int state = 0; state < states; ++state) {
          collect(unit.shard * element, request_.offload.any(), category, false);
        }
      }
      write_collected(category);
      return;
    }
    for (const FsdpUnit& unit :
         fsdp_units(architecture_, recorder_.rank(), recorder_.world(), true, wraps_layers(request_))) {
      for (const FsdpParameter& parameter : unit.parameters) {
        if (trained_only && !parameter.trainable) continue;
        const std::int64_t element = parameter.trainable ? bytes_per_element : size_of(weight_type(request_.precision));
        for (int state = 0; state < states; ++state) {
          collect(parameter.shard * element, request_.offload.any(), category, false);
        }
      }
    }
    write_collected(category);
  }

  bool is_rank_0() const { return recorder_.is_rank_0(); }

 private:
  TensorId download(std::int64_t bytes, Category category) {
    const TensorId landed = recorder_.allocate_host(Pool::pageable, category, bytes, "checkpoint");
    recorder_.copy(Direction::to_host, static_cast<double>(bytes), false, "download checkpoint", down_);
    return landed;
  }

  /// One tensor from its shards: on all devices, and on rank 0 then in host memory.
  void collect(std::int64_t shard, bool on_host, Category category, bool partitioned_again) {
    const std::int64_t whole = shard * recorder_.world();
    if (on_host) {
      const bool on_drives = request_.offload.parameters_on_nvme;
      const auto bytes = static_cast<double>(shard);
      if (on_drives) recorder_.synchronize(recorder_.storage(StorageAccess::read, bytes, "read shard", down_));
      const TensorId uploaded = recorder_.allocate(Category::buffers, shard, "uploaded shard");
      recorder_.copy(Direction::to_device, bytes, *request_.pin_memory && !on_drives, "upload shard", down_);
      recorder_.release(uploaded);
    }
    const TensorId gathered = recorder_.allocate(Category::gathered, whole, "gathered to save");
    recorder_.wait_stream(Recorder::compute_stream(), down_);
    recorder_.collective(CollectiveKind::all_gather, static_cast<double>(whole), "all-gather to save",
                         Recorder::compute_stream());
    recorder_.wait_stream(down_, Recorder::compute_stream());
    if (is_rank_0()) collected_.push_back(download(whole, category));
    if (partitioned_again) {
      recorder_.wait_stream(Recorder::compute_stream(), down_);
      recorder_.collective(CollectiveKind::broadcast, static_cast<double>(whole), "broadcast from rank 0",
                           Recorder::compute_stream());
    }
    recorder_.release(gathered);
  }

  void write_collected(Category category) {
    for (const TensorId tensor : collected_) write(recorder_.bytes_of(tensor), category);
    for (const TensorId tensor : collected_) recorder_.release(tensor);
    collected_.clear();
  }

  void write(std::int64_t bytes, Category category) {
    recorder_.count_saved(static_cast<double>(bytes));
    if (!recorder_.has_storage()) return;
    recorder_.allocate_host(Pool::storage, category, bytes, "checkpoint file");
    recorder_.synchronize(
        recorder_.storage(StorageAccess::write, static_cast<double>(bytes), "write checkpoint", down_));
  }

  const Request& request_;
  const Architecture& architecture_;
  Recorder& recorder_;
  StreamId down_;
  std::vector<TensorId> collected_;
};

void save_zero(Saver& saver, const Request& request) {
  const bool stage3 = request.kind == StrategyKind::zero3;
  if (request.save == SaveKind::adapter) {
    if (stage3) {
      saver.gather_partitions(true);
    } else if (saver.is_rank_0()) {
      saver.write_whole(Saver::is_trained);
    }
    return;
  }
  if (request.save == SaveKind::gathered_16bit) {
    if (stage3) {
      saver.gather_partitions(false);
      if (saver.is_rank_0()) saver.write_whole(Saver::is_quantized);
    } else if (saver.is_rank_0()) {
      saver.write_own(Category::weights);
    }
    return;
  }
  // Stage 3 saves its masters in place of the weights; frozen ones have none and go as they are.
  if (stage3 ? request.peft.any() : saver.is_rank_0()) saver.write_own(Category::weights);
  saver.write_own(Category::master_weights);
  saver.write_own(Category::optimizer);
}

void save_fsdp(Saver& saver, const Request& request) {
  if (request.save == SaveKind::sharded) {
    saver.write_own(Category::weights);
    saver.write_own(Category::optimizer);
    return;
  }
  const DType original = keeps_master_weights(request.precision) ? DType::f32 : weight_type(request.precision);
  saver.gather_shards(Category::weights, size_of(original), 1, request.save == SaveKind::adapter);
  if (request.save == SaveKind::adapter) return;
  saver.gather_shards(Category::optimizer, size_of(original), 2, true);
}

void save_all_own(Saver& saver) {
  for (const Category category : {Category::weights, Category::master_weights, Category::optimizer}) {
    saver.write_own(category);
  }
}

void save_replica(Saver& saver, const Request& request) {
  if (!saver.is_rank_0()) return;
  if (request.save == SaveKind::adapter) {
    saver.write_whole(Saver::is_trained);
  } else {
    save_all_own(saver);
  }
}

// Each program begins when the one before it is done: they stand for one process.
void save_device_map(Saver& saver, const StrategyContext& context) {
  Recorder& recorder = context.recorder;
  const auto meet = [&](std::int64_t next) {
    recorder.rendezvous(Occasion::save, static_cast<std::size_t>(next), Recorder::compute_stream());
    recorder.synchronize_stream(Recorder::compute_stream());
  };
  if (recorder.rank() > 0) meet(recorder.rank());
  if (context.request.save == SaveKind::adapter) {
    const DeviceMap map = map_devices(context.request, recorder.cluster().topology(), context.architecture);
    const auto device = static_cast<std::int32_t>(recorder.rank());
    saver.write_parameters(part_on_device(context.architecture, map, device), Saver::is_trained);
  } else {
    save_all_own(saver);
  }
  recorder.synchronize_device();
  if (recorder.rank() + 1 < recorder.world()) meet(recorder.rank() + 1);
}

}  // namespace

void check_save(const Request& request) {
  if (request.save == SaveKind::none) return;
  const auto refuse = [](const char* what, const char* option, const char* right) {
    throw InputError(what, std::string("--save ") + option, right);
  };
  const Runtime runtime = runtime_of(request.kind);
  if (request.save == SaveKind::adapter && !request.peft.any()) {
    refuse("there is no adapter to save", "adapter", "--peft beside it, or full");
  }
  if (request.save == SaveKind::full && runtime == Runtime::deepspeed) {
    refuse("DeepSpeed writes no full training state: zero_to_fp32.py makes one from the shards afterwards", "full",
           "sharded, or gathered-16bit for the weights alone");
  }
  if (request.save == SaveKind::gathered_16bit && runtime != Runtime::deepspeed) {
    refuse("only DeepSpeed gathers 16-bit weights to save them", "gathered-16bit",
           runtime == Runtime::fsdp ? "sharded or full" : "full");
  }
  if (request.save == SaveKind::sharded && runtime == Runtime::replicas) {
    refuse("every rank holds everything: there are no shards to save", "sharded", "full");
  }
  if (request.save == SaveKind::sharded && runtime == Runtime::device_map) {
    refuse("one process holds everything: max_shard_size cuts its files, but there are no shards", "sharded", "full");
  }
}

void record_save(const StrategyContext& context) {
  const Request& request = context.request;
  if (request.save == SaveKind::none) return;
  context.recorder.mark(Phase::save, -1, "save");
  if (request.kind != StrategyKind::device_map) context.recorder.barrier();
  Saver saver(context);
  switch (runtime_of(request.kind)) {
    case Runtime::replicas:
      save_replica(saver, request);
      break;
    case Runtime::device_map:
      save_device_map(saver, context);
      break;
    case Runtime::deepspeed:
      save_zero(saver, request);
      break;
    case Runtime::fsdp:
      save_fsdp(saver, request);
      break;
  }
  context.recorder.synchronize_device();
}

}  // namespace shardsim
