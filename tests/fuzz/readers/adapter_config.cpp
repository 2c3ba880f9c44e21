// PEFT's adapter_config.json, up to the adapters of a small model.
#include "fuzz/reader.hpp"
#include "model/architecture.hpp"
#include "sim/request/peft_config.hpp"

namespace shardsim::fuzz {

namespace {

const Architecture& small_model() {
  static const Architecture model = load_architecture("gpt2", data().zoo);
  return model;
}

void read(const Input& input) {
  std::vector<std::string> warnings;
  apply_adapter(small_model(), read_peft_config(input.file, warnings)).parameter_count();
}

}  // namespace

const Added adapter_config(
    {.name = "adapter_config",
     .file_name = "adapter_config.json",
     .seeds = {},
     .read = read,
     .own_seeds = {
         R"json({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8, "target_modules": ["c_attn"], "bias": "none"})json",
         R"json({"peft_type": "LORA", "r": 8, "target_modules": ".*c_(attn|proj)", "rank_pattern": {"h.0.attn.c_attn": 4}})json",
         R"json({"peft_type": "LORA", "use_dora": true, "target_modules": "all-linear", "layers_to_transform": [0, 1],
             "exclude_modules": ["c_fc"], "modules_to_save": ["ln_f"], "lora_bias": true})json",
         R"json({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 8, "task_type": "CAUSAL_LM"})json"}});

}  // namespace shardsim::fuzz
