// What needs no training run: optimizer states, quantized weights, DistributedDataParallel's buckets, accelerate's
// placement (optimizers.py, quantized.py, ddp.py, device_map.py).
#include <algorithm>
#include <map>

#include "../model/config_text.hpp"
#include "../plan/scenario.hpp"
#include "model/adapter.hpp"
#include "model/optimizer.hpp"
#include "recording.hpp"
#include "sim/plan/device_map.hpp"
#include "sim/request/choices.hpp"

using namespace shardsim;

namespace {

OptimizerKind kind_of(const std::string& name) {
  return test::request({"--topology", "1xH100", "--strategy", "single", "--optimizer", name}).optimizer;
}

std::string joined(const std::vector<std::int64_t>& numbers) {
  std::string text;
  for (const std::int64_t number : numbers) text += (text.empty() ? "" : "x") + std::to_string(number);
  return text;
}

std::vector<std::int64_t> buckets_of(const nlohmann::json& recorded, const nlohmann::json& models) {
  const ConfigFolder folder;
  const std::string model = folder.write(models.at(recorded.at("model")).dump()).string();
  const test::Planned planned = test::plan({"--topology", "8xH100", "--strategy", "ddp", "--precision",
                                            recorded.at("precision"), "--model", model, "--seq-len", "16"});
  std::vector<std::int64_t> buckets;
  for (const Tensor& tensor : planned.run.plan.programs.front().tensors) {
    if (planned.run.plan.labels[tensor.label.index()] == "ddp bucket") buckets.push_back(tensor.bytes);
  }
  return buckets;
}

std::vector<std::int64_t> placement(const nlohmann::json& recorded) {
  const Architecture model = load_architecture(recorded.at("model").get<std::string>(), test::data().zoo);
  MaxMemory memory{recorded.at("gpus").get<std::vector<std::int64_t>>(), recorded.at("cpu")};
  if (recorded.at("balanced")) memory = balanced_memory(model, 2, memory);
  const DeviceMap map = infer_device_map(model, 2, memory);
  std::vector<std::int64_t> placed(memory.gpus.size() + 2, 0);
  for (const ModuleId layer : model.layer_modules()) ++placed[static_cast<std::size_t>(map.device[layer.index()])];
  placed.push_back(map.device[model.module(ModuleId(0)).children.back().index()]);
  return placed;
}

/// One row a number, so that two lists differ where they do.
void compare(std::vector<oracle::Row>& rows, const std::string& name, const std::string& figure,
             const std::vector<std::int64_t>& ours, const std::vector<std::int64_t>& theirs) {
  for (std::size_t i = 0; i < std::max(ours.size(), theirs.size()); ++i) {
    const auto at = [&](const std::vector<std::int64_t>& list) { return i < list.size() ? list[i] : -1; };
    rows.push_back({name, figure + " " + std::to_string(i), at(ours), at(theirs), 0, ""});
  }
}

}  // namespace

std::vector<oracle::Row> oracle::optimizers() {
  std::vector<Row> rows;
  const nlohmann::json file = recording("optimizers.json");
  for (const nlohmann::json& recorded : file.at("cases")) {
    OptimizedTensor tensor;
    tensor.shape = recorded.at("shape").get<std::vector<std::int64_t>>();
    tensor.type = recorded.at("type") == "bf16" ? DType::bf16 : DType::f32;
    std::int64_t bytes = 0;
    for (const StateTensor& state : state_tensors(kind_of(recorded.at("optimizer")), tensor)) {
      if (state.bytes > scalar) bytes += state.bytes;
    }
    rows.push_back({recorded.at("optimizer").get<std::string>() + " " + recorded.at("type").get<std::string>(),
                    joined(tensor.shape), bytes, recorded.at("bytes"), 0, ""});
  }
  return rows;
}

std::vector<oracle::Row> oracle::quantized() {
  std::vector<Row> rows;
  const nlohmann::json file = recording("quantized.json");
  for (const nlohmann::json& recorded : file.at("cases")) {
    const std::string kind = recorded.at("quantization");
    const auto shape = recorded.at("shape").get<std::vector<std::int64_t>>();
    const QuantizedBytes bytes =
        quantized_bytes(choose(quantization_choices, "quantization", {kind, ""}), shape.at(0), shape.at(1));
    rows.push_back({kind + " " + joined(shape), "data", bytes.data, recorded.at("data"), 0, ""});
    rows.push_back({kind + " " + joined(shape), "statistics", bytes.statistics, recorded.at("statistics"), 0, ""});
  }
  return rows;
}

std::vector<oracle::Row> oracle::ddp() {
  std::vector<Row> rows;
  const nlohmann::json file = recording("ddp.json");
  for (const nlohmann::json& recorded : file.at("cases")) {
    std::vector<std::int64_t> expected = recorded.at("first").get<std::vector<std::int64_t>>();
    const auto rebuilt = recorded.at("rebuilt").get<std::vector<std::int64_t>>();
    expected.insert(expected.end(), rebuilt.begin(), rebuilt.end());
    const std::string name =
        recorded.at("model").get<std::string>() + " " + recorded.at("precision").get<std::string>();
    compare(rows, name, "bucket", buckets_of(recorded, file.at("models")), expected);
  }
  return rows;
}

std::vector<oracle::Row> oracle::device_map() {
  std::vector<Row> rows;
  const nlohmann::json file = recording("device_map.json");
  for (const nlohmann::json& recorded : file.at("cases")) {
    std::vector<std::int64_t> expected = recorded.at("layers").get<std::vector<std::int64_t>>();
    expected.push_back(recorded.at("head"));
    const auto gpus = recorded.at("gpus").get<std::vector<std::int64_t>>();
    const std::string name = recorded.at("model").get<std::string>() + " on " + joined(gpus) + " and " +
                             std::to_string(recorded.at("cpu").get<std::int64_t>()) +
                             (recorded.at("balanced") ? " balanced" : "");
    compare(rows, name, "layers, then the head's device,", placement(recorded), expected);
  }
  return rows;
}

TEST_CASE("optimizers keep the states that they keep") { oracle::check(oracle::optimizers()); }
TEST_CASE("bitsandbytes' weights take what they take") { oracle::check(oracle::quantized()); }
TEST_CASE("DDP's buckets are the reducer's") { oracle::check(oracle::ddp()); }
TEST_CASE("layers lie where accelerate puts them") { oracle::check(oracle::device_map()); }
