// What a checkpoint's own quantization_config says (transformers 4.57, utils/quantization_config.py and quantizers/).
#include <algorithm>
#include <array>

#include "model/config_dimensions.hpp"
#include "model/core/suggest.hpp"

namespace shardsim {

namespace {

/// Methods that transformers loads and that are not simulated.
constexpr std::array<std::string_view, 16> other_methods = {
    "fp8",   "mxfp4", "awq",  "fbgemm_fp8", "compressed-tensors", "aqlm", "hqq", "quanto", "eetq", "torchao",
    "higgs", "vptq",  "spqr", "bitnet",     "auto-round",         "quark"};

void read_4bit(const Config& config, StoredQuantization& stored) {
  const std::string type = config.text({"bnb_4bit_quant_type"}, "fp4");
  const bool nested = config.flag({"bnb_4bit_use_double_quant"}, false);
  if (type != "nf4" && type != "fp4") config.refuse("bnb_4bit_quant_type", "is '" + type + "'", "nf4 or fp4");
  stored.storage = type == "fp4" ? Quantization::fp4 : nested ? Quantization::nf4_dq : Quantization::nf4;
  if (type == "fp4" && nested) {
    stored.warnings.emplace_back("bnb_4bit_use_double_quant is not simulated for fp4: its scales are taken in fp32");
  }
  if (config.text({"bnb_4bit_compute_dtype"}, "float32").ends_with("float32")) {
    stored.warnings.emplace_back("bnb_4bit_compute_dtype float32 is not simulated: products are taken in 16 bits");
  }
}

void read_bitsandbytes(const Config& config, StoredQuantization& stored) {
  const bool four = config.flag({"load_in_4bit", "_load_in_4bit"}, false);
  if (four == config.flag({"load_in_8bit", "_load_in_8bit"}, false)) {
    config.refuse("load_in_4bit", "and load_in_8bit say the same", "one of them true");
  }
  if (four) {
    read_4bit(config, stored);
  } else {
    stored.storage = Quantization::int8;
  }
  const std::vector<std::string> skipped = config.texts("llm_int8_skip_modules").value_or(std::vector<std::string>{});
  if (std::any_of(skipped.begin(), skipped.end(), [](const std::string& name) { return name != "lm_head"; })) {
    stored.warnings.emplace_back(
        "llm_int8_skip_modules is not simulated: every linear module but the head is quantized");
  }
  if (config.flag({"llm_int8_enable_fp32_cpu_offload"}, false)) {
    stored.warnings.emplace_back("llm_int8_enable_fp32_cpu_offload is not simulated");
  }
}

void read_gptq(const Config& config, StoredQuantization& stored) {
  constexpr std::int64_t simulated_bits = 4;
  const std::string simulated_group = "128";
  if (const std::int64_t bits = config.size({"bits"}); bits != simulated_bits) {
    config.refuse("bits", "is " + std::to_string(bits) + ", which is not simulated", "4");
  }
  stored.storage = Quantization::gptq4;
  if (config.text_of("group_size", simulated_group) != simulated_group) {
    stored.warnings.emplace_back("group_size is taken as 128");
  }
}

}  // namespace

std::optional<StoredQuantization> read_quantization(const Config& root) {
  if (!root.has({"quantization_config"})) return {};
  const Config config = root.object("quantization_config");
  StoredQuantization stored;
  stored.method = config.text({"quant_method"}, "");
  if (stored.method.empty()) {
    if (!config.has({"load_in_4bit", "load_in_8bit"})) {
      config.refuse("quant_method", "is missing", "a method such as \"bitsandbytes\" or \"gptq\"");
    }
    stored.method = "bitsandbytes";
  }
  if (stored.method.starts_with("bitsandbytes")) {
    read_bitsandbytes(config, stored);
  } else if (stored.method == "gptq") {
    read_gptq(config, stored);
  } else if (std::find(other_methods.begin(), other_methods.end(), stored.method) == other_methods.end()) {
    std::vector<std::string> known(other_methods.begin(), other_methods.end());
    known.insert(known.end(), {"bitsandbytes", "gptq"});
    throw_unknown_name("quant_method", stored.method, config.file(), known);
  }
  return stored;
}

}  // namespace shardsim
