#include "sim/request/deepspeed_config.hpp"

#include <fmt/format.h>

#include <limits>

#include "model/core/error.hpp"
#include "sim/request/settings.hpp"

namespace shardsim {

namespace {

/// What several sections need to know of each other.
struct Reading {
  RuntimeConfig config;
  std::int64_t stage = 0;
  std::string optimizer_device = "none", parameter_device = "none";
  bool reduces_scattered = true;
};

void set_option(Reading& reading, const Settings& section, std::string_view key, std::string_view option,
                std::string value) {
  reading.config.options.insert_or_assign(std::string(option), OptionText{std::move(value), section.where(key)});
}

void set_positive(Reading& reading, Settings& top, std::string_view key, std::string_view option) {
  const auto value = top.count(key);
  if (!value) return;
  if (*value == 0) throw InputError("0 is not positive", top.where(key), "a whole number from 1 up");
  set_option(reading, top, key, option, fmt::format("{}", *value));
}

template <class Target, class Value>
void take(Target& target, const std::optional<Value>& value) {
  if (value) target = *value;
}

void read_batch(Reading& reading, Settings& top) {
  set_positive(reading, top, "train_micro_batch_size_per_gpu", "micro-batch");
  set_positive(reading, top, "gradient_accumulation_steps", "grad-accum");
  reading.config.train_batch_size = top.count("train_batch_size");
  if (reading.config.train_batch_size == 0) {
    throw InputError("0 is not positive", top.where("train_batch_size"), "a whole number from 1 up");
  }
}

// "auto" leaves the choice to --precision, as the Trainer's --bf16 and --fp16 make it.
void read_precision(Reading& reading, Settings& top) {
  Settings half = top.section("fp16");
  Settings brain = top.section("bf16");
  Settings autocast = top.section("torch_autocast");
  const bool asks = half.is_auto("enabled") || brain.is_auto("enabled");
  const bool fp16 = half.flag("enabled").value_or(false);
  const bool bf16 = brain.flag("enabled").value_or(false);
  half.skip({"loss_scale", "loss_scale_window", "initial_scale_power", "hysteresis", "consecutive_hysteresis",
             "min_loss_scale", "auto_cast"});
  half.not_simulated("fp16_master_weights_and_grads", false);
  const bool masters = brain.flag("bf16_master_weights_and_grads").value_or(false);
  const bool moments = brain.flag("bf16_optimizer_states").value_or(false);
  brain.skip({"check_grad_overflow", "immediate_grad_update"});
  if (fp16 && bf16) {
    throw InputError("bf16 and fp16 cannot both be enabled: DeepSpeed refuses it", brain.where("enabled"),
                     "one of them");
  }
  if (masters != moments) {
    brain.warn(masters ? "bf16_master_weights_and_grads" : "bf16_optimizer_states",
               "this setting is simulated only together with the other of the two");
  }
  const bool pure = bf16 && masters && moments;
  if (autocast.flag("enabled").value_or(false)) {
    const std::string type = autocast.one_of("dtype", {"bfloat16", "float16"}).value_or("bfloat16");
    set_option(reading, autocast, "enabled", "precision", type == "bfloat16" ? "amp-bf16" : "amp-fp16");
  } else if (bf16) {
    set_option(reading, brain, "enabled", "precision", pure ? "bf16" : "bf16-mixed");
  } else if (fp16) {
    set_option(reading, half, "enabled", "precision", "fp16-mixed");
  } else if (!asks) {
    set_option(reading, top, "bf16, fp16: neither is enabled", "precision", "fp32");
  }
  autocast.skip({"dtype", "lower_precision_safe_modules"});
  half.warn_of_unknown();
  brain.warn_of_unknown();
  autocast.warn_of_unknown();
}

// "auto" beside a key that nobody fills in is dropped by DeepSpeed, which then takes its default.
void warn_of_auto(Settings& zero, Settings::Keys keys) {
  for (const std::string_view key : keys) {
    if (zero.is_auto(key)) zero.warn(key, "nothing fills in this \"auto\"; DeepSpeed takes its default");
  }
}

void read_sizes(ZeroOptions& options, Settings& zero) {
  options.auto_reduce_bucket_size = zero.is_auto("reduce_bucket_size");
  options.auto_prefetch_bucket_size = zero.is_auto("stage3_prefetch_bucket_size");
  options.auto_persistence_threshold = zero.is_auto("stage3_param_persistence_threshold");
  take(options.reduce_bucket_size, zero.count("reduce_bucket_size"));
  take(options.prefetch_bucket_size, zero.count({"stage3_prefetch_bucket_size", "prefetch_bucket_size"}));
  take(options.persistence_threshold,
       zero.count({"stage3_param_persistence_threshold", "param_persistence_threshold"}));
  take(options.max_live_parameters, zero.count({"stage3_max_live_parameters", "max_live_parameters"}));
  take(options.max_reuse_distance, zero.count({"stage3_max_reuse_distance", "max_reuse_distance"}));
  take(options.sub_group_size, zero.count("sub_group_size"));
  warn_of_auto(zero, {"stage3_max_live_parameters", "stage3_max_reuse_distance", "sub_group_size", "overlap_comm",
                      "contiguous_gradients", "reduce_scatter", "round_robin_gradients"});
}

void read_switches(Reading& reading, Settings& zero) {
  ZeroOptions& options = reading.config.zero;
  options.overlap_comm = zero.flag("overlap_comm");
  take(options.contiguous_gradients, zero.flag("contiguous_gradients"));
  take(options.reduce_scatter, zero.flag("reduce_scatter"));
  take(options.round_robin_gradients, zero.flag("round_robin_gradients"));
  take(options.gather_16bit_weights_on_save,
       zero.flag({"stage3_gather_16bit_weights_on_model_save", "gather_16bit_weights_on_model_save",
                  "stage3_gather_fp16_weights_on_model_save"}));
  reading.reduces_scattered = options.reduce_scatter;
  const std::int64_t gathered = zero.count("allgather_bucket_size").value_or(0);
  if (gathered % 2 != 0 && reading.stage < 3) {
    throw InputError("DeepSpeed refuses an odd allgather_bucket_size", zero.where("allgather_bucket_size"),
                     "a multiple of 2");
  }
}

void read_offload_optimizer(Reading& reading, Settings& zero) {
  Settings section = zero.section("offload_optimizer");
  ZeroOptions& options = reading.config.zero;
  take(reading.optimizer_device, section.one_of("device", {"none", "cpu", "nvme"}));
  take(options.optimizer_buffer_count, section.count("buffer_count"));
  take(options.pipeline_read, section.flag("pipeline_read"));
  take(options.pipeline_write, section.flag("pipeline_write"));
  section.skip({"nvme_path", "fast_init", "convert_grad_on_cpu", "cpuadam_cores_perc", "pipeline"});
  section.not_simulated("super_offload", false);
  if (const auto ratio = section.number("ratio")) {
    if (!(*ratio >= 0 && *ratio <= 1)) throw InputError("the ratio is out of range", section.where("ratio"), "0 to 1");
    if (*ratio < 1 && reading.stage != 3) {
      throw InputError("DeepSpeed offloads a part of the optimizer under ZeRO stage 3 only", section.where("ratio"),
                       "1, or stage 3");
    }
    options.ratio = *ratio;
  }
  const auto pinned = section.flag("pin_memory");
  if (pinned && reading.optimizer_device != "none") {
    set_option(reading, section, "pin_memory", "pin-memory", *pinned ? "on" : "off");
  }
  section.warn_of_unknown();
}

void read_offload_parameters(Reading& reading, Settings& zero) {
  Settings section = zero.section("offload_param");
  ZeroOptions& options = reading.config.zero;
  take(reading.parameter_device, section.one_of("device", {"none", "cpu", "nvme"}));
  take(options.parameter_buffer_count, section.count("buffer_count"));
  take(options.parameter_buffer_size, section.count("buffer_size"));
  take(options.max_in_cpu, section.count("max_in_cpu"));
  section.skip({"nvme_path"});
  const auto pinned = section.flag("pin_memory");
  if (pinned && reading.parameter_device != "none" && reading.stage == 3) {
    const std::string text = *pinned ? "on" : "off";
    const auto other = reading.config.options.find("pin-memory");
    if (other == reading.config.options.end()) {
      set_option(reading, section, "pin_memory", "pin-memory", text);
    } else if (other->second.value != text) {
      section.warn("pin_memory", "differs from offload_optimizer's, which is simulated for both");
    }
  }
  section.warn_of_unknown();
}

void read_legacy_offload(Reading& reading, Settings& zero) {
  const bool optimizer = zero.flag("cpu_offload").value_or(false);
  const bool parameters = zero.flag({"cpu_offload_param", "cpu_offload_params"}).value_or(false);
  if (optimizer && reading.optimizer_device == "none") reading.optimizer_device = "cpu";
  if (parameters && reading.parameter_device == "none") reading.parameter_device = "cpu";
  if (const auto pinned = zero.flag("cpu_offload_use_pin_memory"); pinned && (optimizer || parameters)) {
    set_option(reading, zero, "cpu_offload_use_pin_memory", "pin-memory", *pinned ? "on" : "off");
  }
}

void name_rest_of_zero(Reading& reading, Settings& zero) {
  zero.skip({"load_from_fp32_weights", "elastic_checkpoint", "ignore_unused_parameters", "override_module_apply",
             "log_trace_cache_warnings", "enable_sanity_checks", "pipeline_loading_checkpoint",
             "save_muon_momentum_buffer_in_memory", "allgather_bucket_size", "allgather_size"});
  const std::initializer_list<std::pair<std::string_view, nlohmann::json>> others = {
      {"use_multi_rank_bucket_allreduce", true},
      {"allgather_partitions", true},
      {"legacy_stage1", false},
      {"memory_efficient_linear", true},
      {"stage3_module_granularity_threshold", 0},
      {"stage3_use_all_reduce_for_fetch_params", false},
      {"stage3_allgather_sequential", false},
      {"stage3_partition_stream_chunk_size", 0},
      {"zero_hpz_partition_size", 1},
      {"zero_quantized_weights", false},
      {"zero_quantized_nontrainable_weights", false},
      {"zero_quantized_gradients", false},
      {"mics_shard_size", -1},
      {"mics_hierarchical_params_gather", false}};
  for (const auto& [key, unless] : others) zero.not_simulated(key, unless);
  for (const std::string_view section : {"zeropp_loco_param", "zenflow", "leaf_module"}) {
    zero.section_not_simulated(section);
  }
  const std::string_view model_limit = "stage3_model_persistence_threshold";
  const auto limit = zero.count(model_limit);
  if (limit && reading.stage == 3 && *limit < std::numeric_limits<std::int32_t>::max()) {
    zero.warn(model_limit, "this setting is not simulated");
  }
}

void read_zero(Reading& reading, Settings& top, const nlohmann::json& file) {
  // The oldest form: a truth value, for stage 1.
  if (const auto old = file.find("zero_optimization"); old != file.end() && old->is_boolean()) {
    reading.stage = *top.flag("zero_optimization") ? 1 : 0;
    return;
  }
  Settings zero = top.section("zero_optimization");
  reading.stage = zero.count("stage").value_or(0);
  if (reading.stage > 3) throw InputError("there is no such ZeRO stage", zero.where("stage"), "0, 1, 2 or 3");
  read_sizes(reading.config.zero, zero);
  read_switches(reading, zero);
  read_offload_optimizer(reading, zero);
  read_offload_parameters(reading, zero);
  read_legacy_offload(reading, zero);
  name_rest_of_zero(reading, zero);
  if (reading.optimizer_device == "nvme" && reading.stage < 3) {
    zero.warn("offload_optimizer", "DeepSpeed offloads to drives under stage 3 only; the optimizer lies in CPU memory");
  }
  if (reading.parameter_device != "none" && reading.stage != 3) {
    zero.warn("offload_param", "DeepSpeed offloads parameters under stage 3 only; they stay on the device");
    reading.parameter_device = "none";
  }
  zero.warn_of_unknown();
}

// DeepSpeed's own optimizers by its names for them; any other name is torch.optim's.
void read_optimizer(Reading& reading, Settings& top) {
  Settings section = top.section("optimizer");
  const bool untested_allowed = top.flag("zero_allow_untested_optimizer").value_or(false);
  Settings parameters = section.section("params");
  const bool momentum = parameters.number("momentum").value_or(0) != 0;
  section.skip({"legacy_fusion"});
  const auto typed = section.word("type");
  section.warn_of_unknown();
  if (!typed) return;
  std::string name = *typed;
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const bool supported = name == "adam" || name == "adamw" || name == "lion" || name == "adagrad" || name == "muon";
  if (reading.stage > 0 && !supported && !untested_allowed) {
    throw InputError(fmt::format("DeepSpeed refuses {} under ZeRO, where it is untested", *typed),
                     section.where("type"),
                     "Adam, AdamW, Lion, Adagrad or Muon, or \"zero_allow_untested_optimizer\": true");
  }
  if (name == "muon" && reading.reduces_scattered && reading.stage == 3) {
    throw InputError("DeepSpeed refuses Muon with reduce_scatter in ZeRO stage 3", section.where("type"),
                     "\"reduce_scatter\": false");
  }
  if (name == "adam") name = "adamw";
  if (name == "sgd" && momentum) name = "sgd-momentum";
  set_option(reading, section, "type", "optimizer", name);
}

void read_types(Reading& reading, Settings& top) {
  if (const auto type =
          top.one_of("communication_data_type", {"fp32", "fp16", "bfp16", "bf16", "float32", "float16", "bfloat16"})) {
    const bool full = type->ends_with("32");
    set_option(reading, top, "communication_data_type", "reduce-dtype",
               full                     ? "fp32"
               : type->starts_with("b") ? "bf16"
                                        : "fp16");
  }
  Settings types = top.section("data_types");
  if (const auto type = types.one_of("grad_accum_dtype", {"fp32", "fp16", "bf16"})) {
    reading.config.zero.grad_accum_type = *type == "fp32" ? DType::f32 : *type == "fp16" ? DType::f16 : DType::bf16;
  }
  types.not_simulated("param_dtype", nullptr);
  types.not_simulated("buffer_dtype", nullptr);
  types.warn_of_unknown();
}

void name_rest(Reading& reading, Settings& top) {
  const double divide = top.number("gradient_predivide_factor").value_or(1);
  const bool prescale = top.flag("prescale_gradients").value_or(false);
  if (reading.stage == 2 && reading.reduces_scattered && (prescale || divide != 1)) {
    throw InputError("DeepSpeed's ZeRO stage 2 refuses to scale gradients beforehand with reduce_scatter on",
                     top.where(prescale ? "prescale_gradients" : "gradient_predivide_factor"),
                     "\"reduce_scatter\": false, or no scaling");
  }
  if (top.has("activation_checkpointing")) {
    top.warn(
        "activation_checkpointing",
        "acts only on models that call deepspeed.checkpointing, which Hugging Face's do not; --checkpointing does");
  }
  // gradient_clipping changes nothing: DeepSpeed takes the norm in any case.
  top.skip({"gradient_clipping",
            "steps_per_print",
            "dump_state",
            "scheduler",
            "tensorboard",
            "wandb",
            "csv_monitor",
            "comet",
            "comms_logger",
            "comms_config",
            "monitor_config",
            "checkpoint",
            "zero_force_ds_cpu_optimizer",
            "dataloader_drop_last",
            "log_level",
            "data_efficiency",
            "curriculum_learning",
            "gradient_allreduce_op",
            "seq_parallel_communication_data_type",
            "memory_breakdown",
            "load_universal_checkpoint",
            "timers",
            "$schema",
            "communication_data_type",
            "autotuning"});
  top.not_simulated("wall_clock_breakdown", false);
  top.not_simulated("disable_allgather", false);
  top.not_simulated("sparse_gradients", false);
  top.not_simulated("managed_gradient_accumulation", true);
  top.not_simulated("sequence_parallel_size", 1);
  for (const std::string_view section :
       {"amp", "aio", "pipeline", "compression_training", "sparse_attention", "progressive_layer_drop", "eigenvalue",
        "hybrid_engine", "tensor_parallel", "expert_parallel", "compile", "weight_quantization", "elasticity",
        "quantize_training", "flops_profiler", "nebula"}) {
    top.section_not_simulated(section);
  }
}

}  // namespace

ZeroPlacement zero_placement(std::int64_t stage, std::string_view optimizer, std::string_view parameters) {
  if (stage < 3) {
    parameters = "none";
    if (optimizer == "nvme") optimizer = "cpu";
  }
  const Offload offload = {.optimizer = optimizer != "none",
                           .parameters = parameters != "none",
                           .optimizer_on_nvme = optimizer == "nvme",
                           .parameters_on_nvme = parameters == "nvme"};
  std::string_view suffix;
  if (offload.on_nvme()) {
    const bool both = offload.optimizer_on_nvme && offload.parameters_on_nvme;
    suffix = both ? "-nvme" : offload.optimizer_on_nvme ? "-nvme-optimizer" : "-nvme-param";
  } else if (offload.optimizer) {
    suffix = offload.parameters ? "-offload" : "-offload-optimizer";
  } else if (offload.parameters) {
    suffix = "-offload-param";
  }
  return {fmt::format("zero{}{}", stage, suffix), offload};
}

RuntimeConfig read_deepspeed_config(const std::filesystem::path& file, std::string_view option) {
  const nlohmann::json object = read_json_settings(file, option);
  Reading reading;
  Settings top(object, file.string() + ": ", reading.config.warnings);
  read_batch(reading, top);
  read_precision(reading, top);
  read_zero(reading, top, object);
  read_optimizer(reading, top);
  read_types(reading, top);
  name_rest(reading, top);
  top.warn_of_unknown();
  std::string strategy = "ddp";
  if (reading.stage == 0) {
    top.warn("zero_optimization.stage",
             "stage 0 is simulated as ddp; DeepSpeed's flat copies (8 B a parameter more in the step) are not");
  } else {
    ZeroPlacement placement = zero_placement(reading.stage, reading.optimizer_device, reading.parameter_device);
    strategy = std::move(placement.strategy);
    reading.config.offload = placement.offload;
  }
  set_option(reading, top, "zero_optimization.stage", "strategy", strategy);
  return std::move(reading.config);
}

}  // namespace shardsim
