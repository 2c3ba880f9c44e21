// What a config.json's own quantization_config does: adapters train over it, full fine-tuning is refused as
// transformers refuses it, and what is not simulated is named.
#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "scenario.hpp"

using namespace shardsim;

namespace {

class StoredModel {
 public:
  explicit StoredModel(const std::string& quantization) {
    std::ofstream(path_) << R"({"model_type": "llama", "hidden_size": 256, "intermediate_size": 704,
        "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 512, "quantization_config": )"
                         << quantization << "}";
  }
  StoredModel(const StoredModel&) = delete;
  StoredModel& operator=(const StoredModel&) = delete;
  ~StoredModel() { std::filesystem::remove(path_); }

  test::Planned planned(std::vector<std::string> more) const {
    more.insert(more.begin(), {"--topology", "1xA100", "--strategy", "single", "--seq-len", "128", "--model", path_});
    return test::plan(more);
  }
  std::string refusal(std::vector<std::string> more = {}) const {
    try {
      planned(std::move(more));
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() / "shardsim_stored_quantization.json").string();
};

const std::string nf4 = R"({"load_in_4bit": true, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": true,
    "bnb_4bit_compute_dtype": "bfloat16", "llm_int8_skip_modules": null, "quant_method": "bitsandbytes"})";

std::int64_t quantized_bytes_in(const test::Planned& planned) {
  std::int64_t bytes = 0;
  for (const Parameter& parameter : planned.scenario.architecture.parameters) {
    if (parameter.quantization) bytes += parameter.stored_bytes(DType::bf16);
  }
  return bytes;
}

constexpr std::int64_t matrices = 2 * (4 * 256 * 256 + 3 * 256 * 704);

}  // namespace

TEST_CASE("adapters train over the base as its own config.json stores it") {
  const test::Planned four = StoredModel(nf4).planned({"--peft", "lora"});
  CHECK(four.request.peft.kind == PeftKind::qlora);
  CHECK(four.request.peft.quantization == Quantization::nf4_dq);
  CHECK(four.request.warnings.empty());
  CHECK(quantized_bytes_in(four) > matrices / 2);
  CHECK(quantized_bytes_in(four) < matrices * 53 / 100);

  const test::Planned eight = StoredModel(R"({"load_in_8bit": true})").planned({"--peft", "dora"});
  CHECK(eight.request.peft.kind == PeftKind::qdora);
  CHECK(eight.request.peft.quantization == Quantization::int8);

  for (const std::string method : {"prompt", "adapter"}) {
    const test::Planned other = StoredModel(nf4).planned({"--peft", method});
    CHECK(quantized_bytes_in(other) == quantized_bytes_in(four));
  }
  const test::Planned gptq =
      StoredModel(R"({"quant_method": "gptq", "bits": 4, "group_size": 128})").planned({"--peft", "qlora"});
  CHECK(gptq.request.peft.quantization == Quantization::gptq4);
  REQUIRE(gptq.request.warnings.size() == 1);
  CHECK_THAT(gptq.request.warnings.front(), Catch::Contains("stored as gptq4, whatever --quantization says"));
}

TEST_CASE("a purely quantized model is not fine-tuned, and what is not simulated is refused") {
  CHECK_THAT(StoredModel(nf4).refusal(),
             Catch::Contains("no purely quantized model") && Catch::Contains("--peft lora"));
  CHECK_THAT(StoredModel(R"({"quant_method": "awq", "bits": 4})").refusal({"--peft", "lora"}),
             Catch::Contains("awq quantized is not simulated"));
  CHECK_THAT(StoredModel(R"({"quant_method": "gptq", "bits": 3})").refusal(), Catch::Contains("bits"));
  CHECK_THAT(StoredModel(R"({"quant_method": "gptq", "bits": 4})").refusal({"--peft", "dora"}),
             Catch::Contains("no DoRA over GPTQ"));
  CHECK_THAT(StoredModel(R"({"quant_method": "gtpq"})").refusal(), Catch::Contains("gptq"));
  CHECK_THAT(StoredModel(R"({"bits": 4})").refusal(), Catch::Contains("quant_method"));
  CHECK_THAT(StoredModel(R"({"quant_method": "bitsandbytes"})").refusal(), Catch::Contains("load_in_4bit"));
}

TEST_CASE("settings of a quantized checkpoint that have no effect here are named") {
  const test::Planned fp8 = StoredModel(R"({"quant_method": "fp8", "weight_block_size": [128, 128]})").planned({});
  REQUIRE(fp8.request.warnings.size() == 1);
  CHECK_THAT(fp8.request.warnings.front(), Catch::Contains("stored in fp8 are not trained as they are"));
  const test::Planned fp4 = StoredModel(R"({"load_in_4bit": true, "bnb_4bit_use_double_quant": true,
      "llm_int8_skip_modules": ["lm_head", "v_proj"], "llm_int8_enable_fp32_cpu_offload": true})")
                                .planned({"--peft", "lora"});
  CHECK(fp4.request.peft.quantization == Quantization::fp4);
  CHECK(fp4.request.warnings.size() == 4);
}
