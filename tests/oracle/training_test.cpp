// Training steps under PyTorch's own parallelism, against fake tensors of the real thing (training.py).
#include <algorithm>
#include <map>
#include <string_view>

#include "../model/config_text.hpp"
#include "../plan/scenario.hpp"
#include "recording.hpp"

using namespace shardsim;

namespace {

/// What a kernel takes for itself cannot be seen in fake tensors: sort buffers of the embedding's gradient, and the
/// attention kernel's sums. cuBLAS's workspace comes with the first product on a GPU.
bool seen_by_fake_tensors(const Plan& plan, const Tensor& tensor) {
  const std::string_view label = plan.labels[tensor.label.index()];
  std::string_view place = label;
  if (place.ends_with(" backward")) place.remove_suffix(std::string_view(" backward").size());
  const std::string_view name = place.substr(place.find_last_of(". ") + 1);
  const bool in_kernel = name == "attention" || name == "embed_tokens" || name == "wte" || name == "wpe";
  return tensor.pool == Pool::device && label != "cublas workspace" &&
         !(tensor.category == Category::workspace && in_kernel);
}

struct Peaks {
  std::int64_t between = 0, host = 0;
  std::map<Phase, std::int64_t> of;
};

Peaks peaks_of(const Plan& plan, const Program& program) {
  Peaks peaks;
  std::int64_t live = 0;
  Mark mark;
  const auto note = [&] {
    if (mark.step == 1) peaks.of[mark.phase] = std::max(peaks.of[mark.phase], live);
  };
  for (const Instruction& instruction : program.instructions) {
    if (instruction.kind == Instruction::Kind::mark) {
      mark = program.marks[instruction.index];
      note();
    }
    if (instruction.kind != Instruction::Kind::allocate && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    if (tensor.pool != Pool::device) {
      peaks.host += instruction.kind == Instruction::Kind::allocate ? tensor.bytes : -tensor.bytes;
    }
    if (!seen_by_fake_tensors(plan, tensor)) continue;
    live += instruction.kind == Instruction::Kind::allocate ? tensor.bytes : -tensor.bytes;
    note();
  }
  peaks.between = live;
  return peaks;
}

std::vector<std::string> words_of(const nlohmann::json& recorded) {
  const std::string strategy = recorded.at("strategy");
  const std::string world = std::to_string(recorded.at("world").get<int>());
  const std::string precision = recorded.at("precision");
  std::vector<std::string> words{"--topology", world == "64" ? "8x8xH100" : world + "xH100"};
  const auto add = [&](const std::string& option, const std::string& value) {
    words.push_back("--" + option);
    words.push_back(value);
  };
  const bool reshard = recorded.at("reshard");
  const std::string base = strategy == "fsdp2" ? "fsdp" : strategy;
  const bool offload = recorded.value("offload", false);
  add("strategy", base + (base != "single" && !reshard ? "-grad-op" : "") + (offload ? "-offload" : ""));
  if (offload) add("pin-memory", "off");
  add("precision", precision == "mixed" ? "bf16-mixed" : precision);
  if (strategy != "single" && recorded.at("reduce").is_string()) add("reduce-dtype", recorded.at("reduce"));
  add("attention", recorded.at("attention"));
  add("micro-batch", std::to_string(recorded.at("batch").get<int>()));
  add("seq-len", std::to_string(recorded.at("seq").get<int>()));
  add("checkpointing", recorded.at("checkpointing"));
  if (strategy == "fsdp1") add("use-reentrant", "off");
  add("optimizer-impl", recorded.at("optimizer"));
  if (recorded.contains("accumulation")) add("grad-accum", std::to_string(recorded.at("accumulation").get<int>()));
  return words;
}

std::string name_of_case(const nlohmann::json& recorded) {
  const auto text = [&](const char* key) {
    return recorded.at(key).is_string() ? recorded.at(key).get<std::string>() : "";
  };
  std::string name = text("strategy") + " x" + std::to_string(recorded.at("world").get<int>()) + " " + text("model") +
                     " " + text("precision") + "/" + text("reduce") + " " + text("attention") + " " +
                     std::to_string(recorded.at("batch").get<int>()) + "x" +
                     std::to_string(recorded.at("seq").get<int>()) + " " + text("optimizer");
  if (recorded.value("offload", false)) name += " offloaded";
  if (recorded.at("reshard") == false) name += " unresharded";
  if (recorded.at("checkpointing") == "full") name += " checkpointed";
  if (recorded.contains("accumulation")) name += " accumulated";
  if (recorded.contains("rank")) name += " rank " + std::to_string(recorded.at("rank").get<int>());
  return name;
}

std::vector<oracle::Row> rows_of(const nlohmann::json& file) {
  std::vector<oracle::Row> rows;
  const std::map<std::string, Phase> phases{
      {"forward", Phase::forward}, {"backward", Phase::backward}, {"optimizer", Phase::optimizer}};
  for (const nlohmann::json& recorded : file.at("cases")) {
    const ConfigFolder folder;
    std::vector<std::string> words = words_of(recorded);
    words.insert(words.end(), {"--model", folder.write(file.at("models").at(recorded.at("model")).dump()).string()});
    const test::Planned planned = test::plan(words, Folding::off);
    const Plan& plan = planned.run.plan;
    Peaks ours = peaks_of(plan, plan.programs.at(recorded.value("rank", 0)));
    const nlohmann::json& theirs = recorded.at("bytes");
    const std::string name = name_of_case(recorded);
    for (const auto& [phase, id] : phases) {
      rows.push_back({name, phase, ours.of[id], theirs.at(phase), 0.01, ""});
    }
    rows.push_back({name, "between steps", ours.between, theirs.at("between"), 0, ""});
    if (theirs.contains("host")) rows.push_back({name, "in host memory", ours.host, theirs.at("host"), 0, ""});
  }
  return rows;
}

/// The phase of the peak is the real one's in each case.
void check_phases(const std::vector<oracle::Row>& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].figure != "backward") continue;  // then forward and optimizer; what stays is less than any of them
    const auto highest = [&](std::int64_t oracle::Row::*side) {
      const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(i);
      return std::max_element(begin, begin + 3, [&](const auto& a, const auto& b) { return a.*side < b.*side; })
          ->figure;
    };
    INFO(rows[i].name);
    CHECK(highest(&oracle::Row::ours) == highest(&oracle::Row::theirs));
  }
}

}  // namespace

std::vector<oracle::Row> oracle::training() { return rows_of(recording("training.json")); }
std::vector<oracle::Row> oracle::two_sides() { return rows_of(recording("two_sides.json")); }

TEST_CASE("training under PyTorch's parallelism peaks where and as high as the real one") {
  oracle::check(oracle::training());
  check_phases(oracle::training());
}

TEST_CASE("FSDP1, and FSDP2 offloaded, hold what the real ones do on the device and on the host") {
  oracle::check(oracle::two_sides());
  check_phases(oracle::two_sides());
}
