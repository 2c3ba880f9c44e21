#include "sim/request/peft_config.hpp"

#include <algorithm>
#include <limits>

#include "model/core/error.hpp"
#include "sim/request/settings.hpp"

namespace shardsim {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view file_name = "adapter_config.json";
constexpr std::int64_t most_rank = 1 << 20;

std::int64_t positive(const Settings& settings, std::string_view key, std::int64_t value) {
  if (value >= 1 && value <= most_rank) return value;
  throw InputError(std::to_string(value) + " is no right value", settings.where(key), "a whole number from 1 up");
}

/// Keys of every configuration that neither memory nor time depends on.
void skip_common(Settings& settings) {
  settings.skip({"auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode"});
}

void check_task(Settings& settings) {
  const std::string task = settings.word("task_type").value_or("CAUSAL_LM");
  if (task == "CAUSAL_LM") return;
  throw InputError("task_type " + task + " trains a head that is not simulated", settings.where("task_type"),
                   "CAUSAL_LM");
}

/// A list of names, "all-linear", or one text that is an expression over whole names.
void read_names(Settings& settings, std::string_view key, std::vector<std::string>& names, std::string& pattern) {
  names = settings.words(key);
  if (!settings.is_text(key) || names.front() == "all-linear") return;
  pattern = names.front();
  names.clear();
}

void read_targets(Settings& settings, Peft& peft) {
  read_names(settings, "target_modules", peft.targets, peft.target_pattern);
  read_names(settings, "exclude_modules", peft.excluded, peft.excluded_pattern);
  peft.layers = settings.counts("layers_to_transform");
  if (!peft.layers.empty() && !peft.target_pattern.empty()) {
    throw InputError("PEFT takes no layers_to_transform where target_modules is an expression",
                     settings.where("layers_to_transform"), "null, or a list of names as target_modules");
  }
  for (const auto& [pattern, rank] : settings.counts_by_name("rank_pattern")) {
    peft.rank_pattern.emplace_back(pattern, positive(settings, "rank_pattern", rank));
  }
  settings.skip({"layers_pattern"});  // the decoder's list of layers is the only one that there is
}

Peft read_lora(Settings& settings) {
  Peft peft;
  peft.kind = settings.flag("use_dora").value_or(false) ? PeftKind::dora : PeftKind::lora;
  peft.rank = positive(settings, "r", settings.count("r").value_or(8));
  read_targets(settings, peft);
  peft.dropout = settings.number("lora_dropout").value_or(0);
  if (peft.dropout < 0 || peft.dropout >= 1) {
    throw InputError("a dropout of " + std::to_string(peft.dropout), settings.where("lora_dropout"),
                     "a probability from 0 to below 1");
  }
  const std::string biases = settings.one_of("bias", {"none", "all", "lora_only"}).value_or("none");
  if (biases == "all") peft.biases = TrainedBiases::all;
  if (biases == "lora_only") peft.biases = TrainedBiases::lora_only;
  peft.adapter_bias = settings.flag("lora_bias").value_or(false);
  peft.saved_modules = settings.words("modules_to_save");
  settings.skip({"lora_alpha", "alpha_pattern", "use_rslora", "fan_in_fan_out", "init_lora_weights", "loftq_config",
                 "eva_config", "corda_config", "lora_ga_config", "megatron_core"});
  for (const std::string_view key :
       {"megatron_config", "trainable_token_indices", "layer_replication", "velora_config", "alora_invocation_tokens",
        "monteclora_config", "target_parameters", "use_bdlora", "arrow_config", "kasa_config"}) {
    settings.not_simulated(key, nullptr);
  }
  settings.not_simulated("use_qalora", false);
  settings.skip({"qalora_group_size"});
  settings.not_simulated("ensure_weight_tying", false);
  settings.section("runtime_config").not_simulated("ephemeral_gpu_offload", false);
  return peft;
}

Peft read_prompt(Settings& settings) {
  Peft peft;
  peft.kind = PeftKind::prompt;
  const std::optional<std::int64_t> tokens = settings.count("num_virtual_tokens");
  if (!tokens) {
    throw InputError("the number of virtual tokens is missing", settings.where("num_virtual_tokens"),
                     "a whole number from 1 up, such as 20");
  }
  peft.virtual_tokens = positive(settings, "num_virtual_tokens", *tokens);
  peft.saved_modules = settings.words("modules_to_save");
  settings.skip({"token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers", "prompt_tuning_init",
                 "prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs"});
  return peft;
}

}  // namespace

bool names_peft_config(const std::string& text) {
  if (text.find('/') != std::string::npos || text.ends_with(".json")) return true;
  std::error_code ignored;
  return fs::exists(fs::path(text) / file_name, ignored);
}

Peft read_peft_config(const fs::path& path, std::vector<std::string>& warnings) {
  std::error_code ignored;
  const fs::path file = fs::is_directory(path, ignored) ? path / file_name : path;
  const nlohmann::json object = read_json_settings(file, "--peft");
  Settings settings(object, file.string() + ": ", warnings);
  const std::string type = settings.word("peft_type").value_or("");
  if (type != "LORA" && type != "PROMPT_TUNING") {
    throw InputError(type.empty() ? "the file names no method of PEFT" : "PEFT's " + type + " is not simulated",
                     settings.where("peft_type"), "LORA or PROMPT_TUNING");
  }
  skip_common(settings);
  check_task(settings);
  const Peft peft = type == "LORA" ? read_lora(settings) : read_prompt(settings);
  settings.warn_of_unknown();
  return peft;
}

}  // namespace shardsim
