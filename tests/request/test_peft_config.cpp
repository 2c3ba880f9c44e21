// Does PEFT's adapter_config.json come through, with PEFT's defaults, and is what it cannot mean here said by name?
#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "request/settings_text.hpp"
#include "sim/request/echo.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/request/peft_config.hpp"

using namespace shardsim;

namespace {

Peft read(const std::string& text, std::vector<std::string>* warnings = nullptr) {
  const SettingsText file(text, ".json");
  std::vector<std::string> said;
  const Peft peft = read_peft_config(file.path(), warnings == nullptr ? said : *warnings);
  if (warnings == nullptr) CHECK(said.empty());
  return peft;
}

std::string refused(const std::string& text) {
  return refusal([&] { read(text); });
}

}  // namespace

TEST_CASE("a LoraConfig that says nothing has PEFT's defaults") {
  const Peft peft = read(R"({"peft_type": "LORA"})");
  CHECK(peft.kind == PeftKind::lora);
  CHECK(peft.rank == 8);
  CHECK(peft.targets.empty());
  CHECK(peft.dropout == 0);
}

TEST_CASE("a saved LoraConfig comes through whole") {
  const Peft peft = read(R"({
    "alpha_pattern": {}, "auto_mapping": null, "base_model_name_or_path": "meta-llama/Llama-2-7b-hf", "bias": "none",
    "exclude_modules": ["layers.0.self_attn.q_proj"], "fan_in_fan_out": false, "inference_mode": true,
    "init_lora_weights": true, "layers_to_transform": 3, "layers_pattern": null, "lora_alpha": 32,
    "lora_bias": false, "lora_dropout": 0.05, "megatron_config": null, "megatron_core": "megatron.core",
    "modules_to_save": null, "peft_type": "LORA", "peft_version": "0.21.2", "qalora_group_size": 16, "r": 64,
    "rank_pattern": {"v_proj": 4}, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM",
    "use_dora": true, "use_qalora": false, "use_rslora": true})");
  CHECK(peft.kind == PeftKind::dora);
  CHECK(peft.rank == 64);
  CHECK(peft.dropout == 0.05);
  CHECK(peft.targets == std::vector<std::string>{"q_proj", "v_proj"});
  CHECK(peft.excluded == std::vector<std::string>{"layers.0.self_attn.q_proj"});
  CHECK(peft.layers == std::vector<std::int64_t>{3});
  REQUIRE(peft.rank_pattern.size() == 1);
  CHECK(peft.rank_pattern.front().first == "v_proj");
  CHECK(peft.rank_pattern.front().second == 4);
}

TEST_CASE("one text as target_modules is an expression, but for all-linear") {
  CHECK(read(R"({"peft_type": "LORA", "target_modules": "all-linear"})").targets.front() == "all-linear");
  const Peft peft = read(R"({"peft_type": "LORA", "target_modules": ".*q_proj", "exclude_modules": ".*\\.0\\..*"})");
  CHECK(peft.targets.empty());
  CHECK(peft.target_pattern == ".*q_proj");
  CHECK(peft.excluded_pattern == R"(.*\.0\..*)");
}

TEST_CASE("prompt tuning says how many tokens") {
  const Peft peft = read(R"({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 8, "token_dim": 4096})");
  CHECK(peft.kind == PeftKind::prompt);
  CHECK(peft.virtual_tokens == 8);
  CHECK_THAT(refused(R"({"peft_type": "PROMPT_TUNING"})"), Contains("num_virtual_tokens"));
}

TEST_CASE("what is not simulated, and what nobody knows, is warned of by name") {
  std::vector<std::string> warnings;
  read(R"({"peft_type": "LORA", "trainable_token_indices": [1, 2], "lora_dropuot": 0.1})", &warnings);
  REQUIRE(warnings.size() == 2);
  CHECK_THAT(warnings[0], Contains("trainable_token_indices: this setting is not simulated"));
  CHECK_THAT(warnings[1], Contains("lora_dropuot: unknown key") && Contains("lora_dropout"));
}

TEST_CASE("copied modules and trained biases are read") {
  const Peft peft = read(R"({"peft_type": "LORA", "modules_to_save": ["lm_head", "norm"], "bias": "lora_only"})");
  CHECK(peft.saved_modules == std::vector<std::string>{"lm_head", "norm"});
  CHECK(peft.biases == TrainedBiases::lora_only);
  CHECK(read(R"({"peft_type": "LORA", "bias": "all"})").biases == TrainedBiases::all);
  CHECK(read(R"({"peft_type": "LORA"})").biases == TrainedBiases::none);
}

TEST_CASE("what PEFT refuses or what cannot be simulated is refused with its key") {
  CHECK_THAT(refused(R"({"peft_type": "IA3"})"), Contains("PEFT's IA3 is not simulated"));
  CHECK_THAT(refused(R"({"r": 8})"), Contains("names no method") && Contains("peft_type"));
  CHECK_THAT(refused(R"({"peft_type": "LORA", "task_type": "SEQ_CLS"})"), Contains("SEQ_CLS"));
  CHECK_THAT(refused(R"({"peft_type": "LORA", "modules_to_save": [3]})"), Contains("modules_to_save"));
  CHECK_THAT(refused(R"({"peft_type": "LORA", "r": 0})"), Contains("r") && Contains("from 1 up"));
  CHECK_THAT(refused(R"({"peft_type": "LORA", "lora_dropout": 1.5})"), Contains("lora_dropout"));
  CHECK_THAT(refused(R"({"peft_type": "LORA", "bias": "some"})"), Contains("bias"));
  CHECK_THAT(refused(R"({"peft_type": "LORA", "target_modules": [1]})"), Contains("a list of names"));
  CHECK_THAT(refused(R"({"peft_type": "LORA", "target_modules": ".*", "layers_to_transform": [0]})"),
             Contains("layers_to_transform"));
  CHECK_THAT(refused(R"({"peft_type": "LORA", "layers_to_transform": [-1]})"), Contains("whole numbers from 0 up"));
  CHECK_THAT(refused(R"({"peft_type": "LORA", "rank_pattern": {"q_proj": "x"}})"), Contains("rank_pattern"));
  CHECK_THAT(refusal([] {
               std::vector<std::string> none;
               read_peft_config("no/such/adapter_config.json", none);
             }),
             Contains("cannot read"));
}

TEST_CASE("a folder that is named like a method does not hide the method") {
  const std::filesystem::path here = std::filesystem::current_path();
  const std::filesystem::path there = std::filesystem::temp_directory_path() / "shardsim_peft_folder";
  std::filesystem::create_directories(there / "lora");
  std::filesystem::create_directories(there / "mine");
  for (const char* folder : {"lora", "mine"}) {
    std::ofstream(there / folder / "adapter_config.json") << R"({"peft_type": "LORA", "r": 4})";
  }
  std::filesystem::current_path(there);
  const auto rank = [](const std::string& peft) {
    return parse_request({"--topology", "1xA100", "--strategy", "single", "--peft", peft}).peft.rank;
  };
  const std::int64_t method = rank("lora"), folder = rank("mine");
  std::filesystem::current_path(here);
  std::filesystem::remove_all(there);
  CHECK(method == 16);
  CHECK(folder == 4);
}

TEST_CASE("--peft takes the file, and what the command line says beats it") {
  const SettingsText text(R"({"peft_type": "LORA", "r": 4, "target_modules": ".*q_proj"})", ".json");
  const std::string file = text.path();
  const std::vector<std::string> base = {"--topology", "1xA100", "--strategy", "single", "--peft", file};
  const auto parsed = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return parse_request(more);
  };
  CHECK(parsed({}).peft.kind == PeftKind::lora);
  CHECK(parsed({}).peft.rank == 4);
  const Peft said = parsed({"--lora-rank", "16", "--lora-targets", "v_proj", "--quantization", "nf4"}).peft;
  CHECK(said.kind == PeftKind::qlora);
  CHECK(said.rank == 16);
  CHECK(said.targets == std::vector<std::string>{"v_proj"});
  CHECK(said.target_pattern.empty());
  CHECK(said.quantization == Quantization::nf4);
  for (const auto& [name, value] : echo(parsed({}))) {
    if (name == "peft") CHECK(to_text(value) == file);
  }
}
