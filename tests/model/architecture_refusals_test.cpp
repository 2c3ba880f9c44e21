// Wrong configs: one line that names the file, the key and what would be right.
#include <utility>
#include <vector>

#include "catch.hpp"
#include "model/architecture.hpp"
#include "model/config_text.hpp"

using namespace shardsim;

namespace {

/// Llama's required keys with one of them replaced, or left out where `value` is empty.
std::string llama_with(std::string_view key, std::string_view value) {
  const std::vector<std::pair<std::string, std::string>> good = {
      {"model_type", "\"llama\""}, {"hidden_size", "64"}, {"intermediate_size", "96"},
      {"num_hidden_layers", "1"},  {"vocab_size", "100"}, {"num_attention_heads", "4"}};
  std::string text = "{\"use_cache\": true";
  bool replaced = false;
  for (const auto& [name, usual] : good) {
    const bool here = name == key;
    replaced = replaced || here;
    if (here && value.empty()) continue;
    text += ", \"" + name + "\": " + (here ? std::string(value) : usual);
  }
  if (!replaced) text += ", \"" + std::string(key) + "\": " + std::string(value);
  return text + "}";
}

void check_refused(const std::string& text, std::string_view part) {
  const std::string line = refusal_of(text);
  INFO(text);
  INFO(line);
  CHECK(contains(line, part));
  CHECK(contains(line, "config.json"));
  CHECK(contains(line, "; expected "));
  CHECK_FALSE(contains(line, "\n"));
}

}  // namespace

TEST_CASE("a required key that is missing is named") {
  const std::string key = GENERATE("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size",
                                   "num_attention_heads", "model_type");
  check_refused(llama_with(key, ""), "'" + key + "' is missing");
  check_refused(llama_with(key, "null"), "'" + key + "' is missing");
}

TEST_CASE("sizes are positive whole numbers of a possible magnitude") {
  const std::string value =
      GENERATE("0", "-4", "1.5", "\"64\"", "true", "[64]", "{}", "1000000001", "9223372036854775807",
               "18446744073709551615", "99999999999999999999999", "1e300", "-0.5");
  check_refused(llama_with("hidden_size", value), "'hidden_size' is ");
  check_refused(llama_with("num_hidden_layers", value), "'num_hidden_layers' is ");
  check_refused(llama_with("head_dim", value), "'head_dim' is ");
}

TEST_CASE("sizes that are possible alone but not together are refused") {
  check_refused(llama_with("num_hidden_layers", "10001"), "10001 layers");
  CHECK(contains(refusal_of(R"({"model_type": "llama", "hidden_size": 1000000000, "intermediate_size": 1000000000,
    "num_hidden_layers": 1, "vocab_size": 10, "num_attention_heads": 1000000000, "head_dim": 1000000000})"),
                 "too large"));
  CHECK(contains(refusal_of(R"({"model_type": "llama", "hidden_size": 1000000000, "intermediate_size": 1000000000,
    "num_hidden_layers": 10, "vocab_size": 10, "num_attention_heads": 1000000000})"),
                 "too large"));
  check_refused(R"({"model_type": "mixtral", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1000,
    "vocab_size": 10, "num_attention_heads": 8, "num_local_experts": 1000})",
                "1000 experts");
  check_refused(R"({"model_type": "mixtral", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
    "vocab_size": 10, "num_attention_heads": 8, "num_experts_per_tok": 9})",
                "'num_experts_per_tok' is 9");
}

TEST_CASE("heads divide") {
  check_refused(llama_with("num_attention_heads", "7"), "which does not divide the hidden size 64");
  check_refused(llama_with("num_key_value_heads", "3"), "'num_key_value_heads' is 3 for 4 heads");
  check_refused(R"({"model_type": "mistral", "hidden_size": 60, "intermediate_size": 64, "num_hidden_layers": 1,
    "vocab_size": 10, "num_attention_heads": 6})",
                "'num_key_value_heads' is 8, the family's default, for 6 heads");
  check_refused(R"({"model_type": "gpt2", "n_embd": 64, "n_layer": 1, "n_head": 7, "vocab_size": 10})",
                "which does not divide the hidden size 64");
  check_refused(R"({"model_type": "falcon", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 8,
    "vocab_size": 10, "new_decoder_architecture": true, "num_kv_heads": 3})",
                "'num_kv_heads' is 3 for 8 heads");
}

TEST_CASE("other types are as wrong") {
  check_refused(llama_with("tie_word_embeddings", "1"), "'tie_word_embeddings' is 1");
  check_refused(llama_with("tie_word_embeddings", "\"yes\""), "true or false");
  check_refused(llama_with("attention_dropout", "1.5"), "'attention_dropout' is 1.5");
  check_refused(llama_with("attention_dropout", "\"0.1\""), "a number from 0 to 1");
  check_refused(llama_with("hidden_act", "3"), "'hidden_act' is 3");
  check_refused(llama_with("hidden_act", "\"silo\""), "unknown activation 'silo'");
  check_refused(llama_with("text_config", "[]"), "'text_config' is []");
  check_refused(R"({"model_type": "llama", "text_config": {"hidden_size": -1}})", "'text_config.hidden_size' is -1");
  check_refused(R"({"model_type": "gemma2", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
    "vocab_size": 10, "num_attention_heads": 4, "layer_types": ["full_attention"]})",
                "'layer_types' has 1 entries");
  check_refused(R"({"model_type": "gemma2", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
    "vocab_size": 10, "num_attention_heads": 4, "layer_types": [1]})",
                "a list of strings");
  check_refused(R"({"model_type": "qwen3_moe", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
    "vocab_size": 10, "num_attention_heads": 4, "mlp_only_layers": 3})",
                "a list of whole numbers");
}

TEST_CASE("an unknown family names its neighbours") {
  check_refused(llama_with("model_type", "\"lama\""), "unknown model_type 'lama'");
  check_refused(llama_with("model_type", "\"lama\""), "llama");
  check_refused(llama_with("model_type", "\"qwen4\""), "qwen3");
  check_refused(llama_with("model_type", "7"), "'model_type' is 7");
}

TEST_CASE("variants that are not modelled are refused, not guessed") {
  check_refused(R"({"model_type": "gpt2", "n_embd": 64, "n_layer": 1, "n_head": 4, "vocab_size": 10,
    "add_cross_attention": true})",
                "'add_cross_attention' is true");
  check_refused(R"({"model_type": "opt", "hidden_size": 64, "ffn_dim": 64, "num_hidden_layers": 1,
    "num_attention_heads": 4, "vocab_size": 10, "layer_norm_elementwise_affine": false})",
                "'layer_norm_elementwise_affine' is false");
  check_refused(R"({"model_type": "falcon", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 8,
    "vocab_size": 10, "new_decoder_architecture": true, "parallel_attn": false})",
                "'parallel_attn' is false");
  check_refused(R"({"model_type": "falcon", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 8,
    "vocab_size": 10, "new_decoder_architecture": true, "num_ln_in_parallel_attn": 3})",
                "'num_ln_in_parallel_attn' is 3");
  check_refused(R"({"model_type": "mpt", "d_model": 64, "n_heads": 4, "n_layers": 1, "vocab_size": 10,
    "attn_config": {"attn_type": "multiquery_attention"}})",
                "'attn_config.attn_type' is \"multiquery_attention\"");
}

TEST_CASE("what is no JSON object is refused") {
  check_refused("", "holds nothing");
  check_refused("{", "not valid JSON");
  check_refused("{\"model_type\": \"llama\", \"hidden_size\": 40", "not valid JSON");
  check_refused("{\"model_type\": \"llama\"} x", "not valid JSON");
  check_refused("{\"hidden_size\": 1e999}", "not valid JSON");
  check_refused("{\"hidden_size\": NaN}", "not valid JSON");
  check_refused("{\"model_type\": \"\xff\"}", "not valid JSON");
  check_refused("[]", "no JSON object");
  check_refused("null", "no JSON object");
  check_refused(std::string(100000, '['), "nested too deeply");
  check_refused("{\"text_config\": " + std::string(1000, '['), "nested too deeply");
}

TEST_CASE("a config that is not there is refused") {
  const ConfigFolder folder;
  const auto refusal = [](const std::filesystem::path& path) -> std::string {
    try {
      read_architecture(path);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(contains(refusal(folder.path() / "none.json"), "none.json"));
  CHECK(contains(refusal(folder.path() / "none.json"), "cannot read"));
  CHECK(contains(refusal(folder.path()), "config.json"));
  std::filesystem::create_directory(folder.path() / "config.json");
  CHECK(contains(refusal(folder.path()), "config.json"));
}
