#include "sim/explain/arithmetic.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/report/notation.hpp"

namespace shardsim {

namespace {

/// "mlp.gate_proj" of "model.layers.3.mlp.gate_proj.weight".
std::string short_name(const std::string& name) {
  std::string text = name;
  for (const std::string_view end : {".weight", ".bias"}) {
    if (text.ends_with(end)) text.resize(text.size() - end.size());
  }
  const std::size_t last_number = text.find_last_of("0123456789");
  const std::size_t dot = last_number == std::string::npos ? std::string::npos : text.find('.', last_number);
  if (dot != std::string::npos) return text.substr(dot + 1);
  const std::size_t last_dot = text.rfind('.');
  return last_dot == std::string::npos ? text : text.substr(last_dot + 1);
}

std::string shape_text(const Parameter& parameter) {
  std::string text;
  for (const std::int64_t extent : parameter.shape) text += fmt::format("{}{}", text.empty() ? "" : " x ", extent);
  return text;
}

}  // namespace

Arithmetic::Arithmetic(const Request& request, const Architecture& architecture, std::int64_t ranks,
                       std::int64_t ranks_a_node) {
  const Dimensions& dims = architecture.dims;
  const std::int64_t b = request.micro_batch, s = request.seq_len;
  const auto tokens = [&](const std::string& name, std::int64_t extent) {
    activations_.push_back({b * s * extent, fmt::format("{} x {} tokens x {} {}", b, s, extent, name)});
  };
  tokens("hidden", dims.hidden);
  if (dims.ffn > 0) tokens("ffn", dims.ffn);
  tokens("vocabulary", dims.vocab);
  tokens("of q", dims.heads * dims.head_dim);
  tokens("of k or v", dims.kv_heads * dims.head_dim);
  tokens("of q, k and v", (dims.heads + 2 * dims.kv_heads) * dims.head_dim);
  tokens("heads", dims.heads);
  if (dims.ffn > 0) tokens("ffn, twice", 2 * dims.ffn);
  if (request.peft.rank > 0) tokens("rank", request.peft.rank);
  activations_.push_back({b * dims.heads * s * s, fmt::format("{} x {} heads x {} x {} tokens", b, dims.heads, s, s)});
  activations_.push_back({b * s, fmt::format("{} x {} tokens", b, s)});
  activations_.push_back({s * s, fmt::format("{} x {} tokens", s, s)});
  activations_.push_back({s * dims.head_dim, fmt::format("{} tokens x {} head", s, dims.head_dim)});

  parameters_.push_back(
      {architecture.parameter_count(),
       fmt::format("{} parameters", grouped_digits(static_cast<double>(architecture.parameter_count())))});
  if (architecture.adapted()) {
    parameters_.push_back(
        {architecture.trainable_count(),
         fmt::format("{} trained parameters", grouped_digits(static_cast<double>(architecture.trainable_count())))});
  }
  for (const Parameter& parameter : architecture.parameters) {
    const auto known = std::any_of(parameters_.begin(), parameters_.end(),
                                   [&](const Product& product) { return product.elements == parameter.numel; });
    if (!known)
      parameters_.push_back(
          {parameter.numel, fmt::format("{} ({})", shape_text(parameter), short_name(parameter.name))});
  }
  std::int64_t layer = 0;
  for (const Parameter& parameter : architecture.parameters) {
    if (parameter.name.find("layers.0.") != std::string::npos || parameter.name.find("h.0.") != std::string::npos) {
      layer += parameter.numel;
    }
  }
  if (layer > 0)
    parameters_.push_back({layer, fmt::format("{} of a layer", grouped_digits(static_cast<double>(layer)))});
  wholes_.assign(parameters_.begin(), parameters_.begin() + (architecture.adapted() ? 2 : 1));
  shards_ = {1};
  for (const std::int64_t shards : {ranks, ranks_a_node}) {
    if (shards > 1 && std::find(shards_.begin(), shards_.end(), shards) == shards_.end()) shards_.push_back(shards);
  }
}

std::string Arithmetic::match(const std::vector<Product>& products, std::int64_t bytes) const {
  for (const std::int64_t shards : shards_) {
    for (const int size : {2, 4, 1, 8}) {
      for (const Product& product : products) {
        // A shard is rounded up to whole elements.
        if (product.elements <= 0 || (product.elements + shards - 1) / shards * size != bytes) continue;
        return fmt::format("{} x {} B{}", product.text, size, shards > 1 ? fmt::format(" / {} ranks", shards) : "");
      }
    }
  }
  return "";
}

std::string Arithmetic::of_all(Category category, std::int64_t bytes) const {
  constexpr double close = 1e-3;
  // 8 B over four ranks and 2 B whole are the same number: what the category usually is comes first.
  const std::vector<int> sizes = category == Category::optimizer        ? std::vector<int>{8, 4, 2, 1}
                                 : category == Category::master_weights ? std::vector<int>{4}
                                                                        : std::vector<int>{2, 4, 6, 1};
  for (const int size : sizes) {
    for (const std::int64_t shards : shards_) {
      for (const Product& whole : wholes_) {
        const double product = static_cast<double>(whole.elements) * size / static_cast<double>(shards);
        if (std::abs(product / static_cast<double>(bytes) - 1) > close) continue;
        return fmt::format("{} x {} B{}", whole.text, size, shards > 1 ? fmt::format(" / {} ranks", shards) : "");
      }
    }
  }
  return "";
}

std::string Arithmetic::of(Category category, std::int64_t bytes) const {
  const bool passing =
      category == Category::activations || category == Category::logits || category == Category::workspace;
  const std::string text = match(passing ? activations_ : parameters_, bytes);
  return text.empty() ? match(passing ? parameters_ : activations_, bytes) : text;
}

}  // namespace shardsim
