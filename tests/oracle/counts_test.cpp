// Parameters, buffers and adapters of the shipped models against transformers' and PEFT's (counts.py).
#include <fmt/format.h>

#include <algorithm>

#include "../plan/scenario.hpp"
#include "model/adapter.hpp"
#include "recording.hpp"

using namespace shardsim;

namespace {

std::string line_of(const Parameter& parameter) {
  std::string text = parameter.name + " ";
  for (std::size_t i = 0; i < parameter.shape.size(); ++i) {
    text += (i == 0 ? "" : "x") + std::to_string(parameter.shape[i]);
  }
  return text + "\n";
}

/// FNV-1a, 64 bits.
std::string hash_of(const std::vector<std::string>& lines) {
  std::uint64_t value = 0xCBF29CE484222325;
  for (const std::string& line : lines) {
    for (const char byte : line) value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001B3;
  }
  return fmt::format("{:016x}", value);
}

struct Count {
  std::int64_t elements = 0, tensors = 0;
  std::string names;
};

Count count(const Architecture& model, bool trained_only) {
  Count result;
  std::vector<std::string> lines;
  for (const Parameter& parameter : model.parameters) {
    if (trained_only && !parameter.trainable) continue;
    result.elements += parameter.numel;
    lines.push_back(line_of(parameter));
  }
  if (trained_only) std::sort(lines.begin(), lines.end());
  result.tensors = static_cast<std::int64_t>(lines.size());
  result.names = hash_of(lines);
  return result;
}

Architecture model_of(const nlohmann::json& recorded) {
  Architecture model = load_architecture(recorded.at("model").get<std::string>(), test::data().zoo);
  if (!recorded.contains("rank")) return model;
  Peft peft;
  peft.kind = PeftKind::lora;
  peft.rank = recorded.at("rank");
  const nlohmann::json& targets = recorded.at("targets");
  if (targets.is_string()) peft.targets = {targets};
  if (targets.is_array()) peft.targets = targets.get<std::vector<std::string>>();
  return apply_adapter(std::move(model), peft);
}

}  // namespace

std::vector<oracle::Row> oracle::counts() {
  std::vector<Row> rows;
  const nlohmann::json file = recording("counts.json");
  for (const nlohmann::json& recorded : file.at("cases")) {
    const Architecture model = model_of(recorded);
    const bool adapted = recorded.contains("rank");
    const Count ours = count(model, adapted);
    std::string name = recorded.at("model");
    std::string counted = "parameters";
    if (adapted) {
      name += " LoRA";
      counted = std::to_string(recorded.at("rank").get<int>()) + " " + recorded.at("targets").dump() + " trained";
    }
    rows.push_back({name, counted, ours.elements, recorded.at("parameters"), 0, ""});
    rows.push_back({name, "tensors", ours.tensors, recorded.at("tensors"), 0, ""});
    rows.push_back({name, "names differ", ours.names == recorded.at("names") ? 0 : 1, 0, 0, ""});
    if (!adapted) rows.push_back({name, "buffers", model.buffer_bytes(), recorded.at("buffers"), 0, ""});
  }
  return rows;
}

TEST_CASE("parameters, their names and shapes, and buffers are those of the real models") {
  oracle::check(oracle::counts());
}
