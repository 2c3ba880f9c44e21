#include "sim/request/accelerate_config.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "model/core/error.hpp"
#include "sim/request/deepspeed_config.hpp"
#include "sim/request/settings.hpp"

namespace shardsim {

namespace {

struct Reading {
  RuntimeConfig config;
  std::filesystem::path file;
  std::string precision = "no";  ///< no, fp16, bf16 or fp8
};

void set_option(Reading& reading, const Settings& section, std::string_view key, std::string_view option,
                std::string value) {
  reading.config.options.insert_or_assign(std::string(option), OptionText{std::move(value), section.where(key)});
}

[[noreturn]] void refuse(const Settings& section, std::string_view key, std::string_view what, std::string_view right) {
  throw InputError(fmt::format("{} is not simulated yet", what), section.where(key), std::string(right));
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

// FSDP and DeepSpeed keep fp32 masters beside 16-bit weights; autocast computes over fp32 weights.
void set_precision(Reading& reading, const Settings& top, bool autocast) {
  const std::string& mixed = reading.precision;
  std::string name = mixed == "no" ? "fp32" : mixed + "-mixed";
  if (autocast && (mixed == "bf16" || mixed == "fp16")) name = "amp-" + mixed;
  set_option(reading, top, "mixed_precision", "precision", name);
}

/// FULL_SHARD and its number are one: accelerate writes either.
std::string sharding_strategy(Settings& section) {
  constexpr std::string_view names[] = {"FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD", "HYBRID_SHARD",
                                        "HYBRID_SHARD_ZERO2"};
  std::string text = upper(section.word("fsdp_sharding_strategy").value_or("FULL_SHARD"));
  // Later releases keep version 1's strategy under the name of version 2's switch.
  const std::string newer = upper(section.word("fsdp_reshard_after_forward").value_or("TRUE"));
  if (newer != "TRUE" && newer != "FALSE" && !section.has("fsdp_sharding_strategy")) text = newer;
  for (std::size_t i = 0; i < std::size(names); ++i) {
    if (text == names[i] || text == fmt::format("{}", i + 1)) return std::string(names[i]);
  }
  throw InputError(fmt::format("unknown sharding strategy '{}'", text), section.where("fsdp_sharding_strategy"),
                   fmt::format("{}", fmt::join(names, ", ")));
}

std::string fsdp_strategy(Settings& section, std::int64_t version) {
  if (version == 2) {
    section.skip({"fsdp_sharding_strategy"});
    return section.flag("fsdp_reshard_after_forward").value_or(true) ? "fsdp" : "fsdp-grad-op";
  }
  const std::string name = sharding_strategy(section);
  if (name == "FULL_SHARD") return "fsdp1";
  if (name == "SHARD_GRAD_OP") return "fsdp1-grad-op";
  if (name == "HYBRID_SHARD") return "fsdp1-hsdp";
  refuse(section, "fsdp_sharding_strategy", name, "FULL_SHARD, SHARD_GRAD_OP or HYBRID_SHARD");
}

std::optional<FsdpOptions::Prefetch> backward_prefetch(Settings& section) {
  using Prefetch = FsdpOptions::Prefetch;
  // The older name of the key, and the numbers of torch's enumeration.
  for (const std::string_view key : {"fsdp_backward_prefetch", "fsdp_backward_prefetch_policy"}) {
    const auto word = section.one_of(key, {"backward_pre", "backward_post", "no_prefetch", "1", "2", "3"});
    if (!word) continue;
    if (*word == "backward_pre" || *word == "1") return Prefetch::pre;
    if (*word == "backward_post" || *word == "2") return Prefetch::post;
    return Prefetch::none;
  }
  return {};
}

void check_wrapping(Settings& section) {
  const std::string_view key = "fsdp_auto_wrap_policy";
  const auto policy = section.word(key);
  if (!policy) {
    section.warn(key,
                 "is missing, and accelerate would then make the whole model one unit; simulated with each block "
                 "wrapped, as TRANSFORMER_BASED_WRAP does");
  } else if (upper(*policy) != "TRANSFORMER_BASED_WRAP") {
    refuse(section, key, *policy, "TRANSFORMER_BASED_WRAP");
  }
  section.skip({"fsdp_transformer_layer_cls_to_wrap", "fsdp_min_num_params"});
}

void read_fsdp(Reading& reading, Settings& top) {
  Settings section = top.section("fsdp_config");
  const std::int64_t version = section.count("fsdp_version").value_or(1);
  if (version != 1 && version != 2) throw InputError("there is no such FSDP", section.where("fsdp_version"), "1 or 2");
  std::string strategy = fsdp_strategy(section, version);
  if (section.flag("fsdp_offload_params").value_or(false)) strategy += "-offload";
  set_option(reading, section, "fsdp_sharding_strategy", "strategy", strategy);
  set_precision(reading, top, false);
  // accelerate's mixed precision policy reduces in the type that it computes in.
  if (reading.precision == "bf16" || reading.precision == "fp16") {
    set_option(reading, top, "mixed_precision", "reduce-dtype", reading.precision);
  }
  if (section.flag("fsdp_activation_checkpointing").value_or(false)) {
    set_option(reading, section, "fsdp_activation_checkpointing", "checkpointing", "full");
  }
  check_wrapping(section);
  FsdpOptions& options = reading.config.fsdp;
  options.backward_prefetch = backward_prefetch(section).value_or(FsdpOptions::Prefetch::none);
  options.forward_prefetch = section.flag("fsdp_forward_prefetch").value_or(false);
  options.use_orig_params = section.flag("fsdp_use_orig_params").value_or(version == 2);
  options.limit_all_gathers = section.flag("fsdp_limit_all_gathers").value_or(true);
  options.cpu_ram_efficient_loading = section.flag("fsdp_cpu_ram_efficient_loading").value_or(true);
  section.skip({"fsdp_state_dict_type", "fsdp_sync_module_states"});
  section.not_simulated("fsdp_ignored_modules", nullptr);
  section.warn_of_unknown();
}

// What accelerate refuses beside deepspeed_config_file, since the file says it.
void refuse_beside_file(const Settings& section, const Settings& top) {
  for (const std::string_view key :
       {"gradient_accumulation_steps", "gradient_clipping", "zero_stage", "offload_optimizer_device",
        "offload_param_device", "offload_optimizer_nvme_path", "offload_param_nvme_path", "zero3_save_16bit_model"}) {
    if (section.has(key)) {
      throw InputError(fmt::format("accelerate refuses {} beside deepspeed_config_file", key), section.where(key),
                       "it in the DeepSpeed file only");
    }
  }
  if (top.has("mixed_precision")) {
    throw InputError("accelerate refuses mixed_precision beside deepspeed_config_file", top.where("mixed_precision"),
                     "it in the DeepSpeed file only");
  }
}

void read_deepspeed_file(Reading& reading, Settings& section, const Settings& top, const std::string& named) {
  refuse_beside_file(section, top);
  std::filesystem::path file = named;
  if (file.is_relative() && !std::filesystem::exists(file)) file = reading.file.parent_path() / file;
  RuntimeConfig inner = read_deepspeed_config(file, section.where("deepspeed_config_file"));
  reading.config.options.merge(inner.options);
  reading.config.zero = inner.zero;
  reading.config.offload = inner.offload;
  reading.config.train_batch_size = inner.train_batch_size;
  std::vector<std::string>& warnings = reading.config.warnings;
  warnings.insert(warnings.end(), inner.warnings.begin(), inner.warnings.end());
}

void read_deepspeed(Reading& reading, Settings& top) {
  Settings section = top.section("deepspeed_config");
  section.skip({"zero3_init_flag", "deepspeed_multinode_launcher", "deepspeed_hostfile", "deepspeed_exclusion_filter",
                "deepspeed_inclusion_filter", "gradient_clipping", "offload_optimizer_nvme_path",
                "offload_param_nvme_path"});
  section.not_simulated("deepspeed_moe_layer_cls_names", nullptr);
  if (const auto file = section.word("deepspeed_config_file"); file && *file != "none") {
    read_deepspeed_file(reading, section, top, *file);
    section.warn_of_unknown();
    return;
  }
  const std::int64_t stage = section.count("zero_stage").value_or(2);
  if (stage < 1 || stage > 3) refuse(section, "zero_stage", fmt::format("ZeRO stage {}", stage), "1, 2 or 3");
  const std::string optimizer = section.one_of("offload_optimizer_device", {"none", "cpu", "nvme"}).value_or("none");
  const std::string parameters = section.one_of("offload_param_device", {"none", "cpu", "nvme"}).value_or("none");
  if (stage < 3 && parameters != "none") {
    section.warn("offload_param_device", "DeepSpeed offloads parameters under stage 3 only; they stay on the device");
  }
  const ZeroPlacement placement = zero_placement(stage, optimizer, parameters);
  reading.config.offload = placement.offload;
  set_option(reading, section, "zero_stage", "strategy", placement.strategy);
  set_precision(reading, top, false);
  if (const auto steps = section.count("gradient_accumulation_steps")) {
    set_option(reading, section, "gradient_accumulation_steps", "grad-accum", fmt::format("{}", *steps));
  }
  reading.config.zero.gather_16bit_weights_on_save = section.flag("zero3_save_16bit_model").value_or(false);
  section.warn_of_unknown();
}

void read_compile(Reading& reading, Settings& top) {
  Settings section = top.section("dynamo_config");
  const std::string backend = upper(section.word("dynamo_backend").value_or("NO"));
  if (backend != "NO") set_option(reading, section, "dynamo_backend", "compile", "on");
  section.skip({"dynamo_mode", "dynamo_use_dynamic", "dynamo_use_fullgraph", "dynamo_use_regional_compilation"});
  section.warn_of_unknown();
}

void name_rest(Settings& top) {
  if (top.flag("use_cpu").value_or(false)) refuse(top, "use_cpu", "training on CPUs", "false");
  top.skip({"compute_environment",    "debug",          "machine_rank",     "main_process_ip", "main_process_port",
            "main_training_function", "rdzv_backend",   "same_network",     "tpu_env",         "tpu_use_cluster",
            "tpu_use_sudo",           "tpu_name",       "tpu_zone",         "gpu_ids",         "enable_cpu_affinity",
            "downcast_bf16",          "use_mps_device", "command_file",     "commands",        "fsdp_config",
            "deepspeed_config",       "rdzv_conf",      "monitor_interval", "max_restarts"});
  for (const std::string_view section : {"fp8_config", "parallelism_config", "mpirun_config", "ipex_config"}) {
    top.section_not_simulated(section);
  }
}

}  // namespace

RuntimeConfig read_accelerate_config(const std::filesystem::path& file) {
  const nlohmann::json object = read_yaml_settings(file, "--accelerate");
  Reading reading;
  reading.file = file;
  Settings top(object, file.string() + ": ", reading.config.warnings);
  if (top.has("zero_optimization")) {
    throw InputError("this is a configuration of DeepSpeed", file.string(),
                     "--deepspeed, or what accelerate config writes");
  }
  reading.config.processes = top.count("num_processes");
  reading.config.machines = top.count("num_machines");
  const std::string mixed = top.one_of("mixed_precision", {"no", "false", "fp16", "bf16", "fp8"}).value_or("no");
  reading.precision = mixed == "false" ? "no" : mixed;
  const std::string type = upper(top.word("distributed_type").value_or("NO"));
  if (type == "FSDP") {
    read_fsdp(reading, top);
  } else if (type == "DEEPSPEED") {
    read_deepspeed(reading, top);
  } else if (type == "NO" || type == "FALSE" || type == "MULTI_GPU") {
    set_option(reading, top, "distributed_type", "strategy", type == "MULTI_GPU" ? "ddp" : "single");
    set_precision(reading, top, true);
  } else {
    refuse(top, "distributed_type", type, "FSDP, DEEPSPEED, MULTI_GPU or NO");
  }
  read_compile(reading, top);
  name_rest(top);
  top.warn_of_unknown();
  return std::move(reading.config);
}

}  // namespace shardsim
