#include "model/config_dimensions.hpp"

#include <array>
#include <string>
#include <utility>

#include "model/core/suggest.hpp"

namespace shardsim {

namespace {

struct Reader {
  std::string_view model_type;
  Family family;
  void (*read)(const Config&, Dimensions&);
};

constexpr std::array readers = {
    Reader{"llama", Family::llama, read_llama_like},
    Reader{"mistral", Family::mistral, read_llama_like},
    Reader{"mixtral", Family::mixtral, read_llama_like},
    Reader{"qwen2", Family::qwen2, read_llama_like},
    Reader{"qwen3", Family::qwen3, read_llama_like},
    Reader{"qwen3_moe", Family::qwen3_moe, read_llama_like},
    Reader{"gemma", Family::gemma, read_llama_like},
    Reader{"gemma2", Family::gemma2, read_llama_like},
    Reader{"gemma3", Family::gemma3, read_llama_like},
    Reader{"gemma3_text", Family::gemma3, read_llama_like},
    Reader{"phi3", Family::phi3, read_llama_like},
    Reader{"deepseek_v3", Family::deepseek_v3, read_deepseek},
    Reader{"gpt2", Family::gpt2, read_gpt2},
    Reader{"gpt_neox", Family::gpt_neox, read_gpt_neox},
    Reader{"falcon", Family::falcon, read_falcon},
    Reader{"opt", Family::opt, read_opt},
    Reader{"bloom", Family::bloom, read_bloom},
    Reader{"mpt", Family::mpt, read_mpt},
};

const Reader& find_reader(const std::string& model_type, const Config& config) {
  std::vector<std::string> known;
  for (const Reader& reader : readers) {
    if (reader.model_type == model_type) return reader;
    known.emplace_back(reader.model_type);
  }
  throw_unknown_name("model_type", model_type, config.file(), known);
}

/// Sizes that are each possible but together name no model that could be laid out.
void check_extent(const Config& config, const Dimensions& dims) {
  constexpr std::int64_t most_layers = 10'000;
  constexpr std::int64_t most_blocks = 200'000;
  constexpr std::int64_t most_positions = 10'000'000;  // gpt2's masks are their square, in each layer
  if (dims.layers > most_layers) {
    throw InputError("the model has " + std::to_string(dims.layers) + " layers", config.file(),
                     "at most " + std::to_string(most_layers));
  }
  if (dims.experts && dims.experts->count > most_blocks / dims.layers) {
    throw InputError("every layer has " + std::to_string(dims.experts->count) + " experts", config.file(),
                     "at most " + std::to_string(most_blocks) + " in all layers together");
  }
  if (dims.max_positions > most_positions) {
    throw InputError("the model has " + std::to_string(dims.max_positions) + " positions", config.file(),
                     "at most " + std::to_string(most_positions));
  }
  if (dims.experts && dims.experts->per_token > dims.experts->count) {
    config.refuse("num_experts_per_tok", "is " + std::to_string(dims.experts->per_token),
                  "at most the number of experts, " + std::to_string(dims.experts->count));
  }
}

}  // namespace

Dimensions read_dimensions(const Config& config) {
  const bool nested = config.has({"text_config"});
  const Config text = nested ? config.object("text_config") : config;
  std::string model_type = text.text({"model_type"}, "");
  if (model_type.empty()) model_type = config.text({"model_type"}, "");
  if (model_type.empty()) config.refuse("model_type", "is missing", "a family such as \"llama\"");
  const Reader& reader = find_reader(model_type, config);

  Dimensions dims;
  dims.family = reader.family;
  reader.read(text, dims);
  if (dims.embedding_dim == 0) dims.embedding_dim = dims.hidden;
  if (nested && !text.has({"tie_word_embeddings"})) {
    dims.tied_embeddings = config.flag({"tie_word_embeddings"}, dims.tied_embeddings);
  }
  check_extent(text, dims);
  return dims;
}

Activation read_activation(const Config& config, Config::Keys keys, std::string_view fallback) {
  constexpr std::array<std::pair<std::string_view, Activation>, 8> known = {{
      {"silu", Activation::silu},
      {"swish", Activation::silu},
      {"gelu", Activation::gelu},
      {"gelu_python", Activation::gelu},
      {"gelu_new", Activation::gelu_new},
      {"gelu_fast", Activation::gelu_new},
      {"gelu_pytorch_tanh", Activation::gelu_tanh},
      {"relu", Activation::relu},
  }};
  const std::string name = config.text(keys, fallback);
  std::vector<std::string> names;
  for (const auto& [text, activation] : known) {
    if (text == name) return activation;
    names.emplace_back(text);
  }
  throw_unknown_name("activation", name, config.file(), names);
}

std::int64_t divided_head_dim(const Config& config, const Dimensions& dims) {
  if (dims.hidden % dims.heads != 0) {
    config.refuse(
        "num_attention_heads",
        "is " + std::to_string(dims.heads) + ", which does not divide the hidden size " + std::to_string(dims.hidden),
        "a divisor of the hidden size, or a head_dim where the family has that key");
  }
  return dims.hidden / dims.heads;
}

}  // namespace shardsim
