// DeepSpeed's ZeRO against real engines on a CPU (zero.py).
#include <algorithm>
#include <cmath>
#include <map>

#include "../model/config_text.hpp"
#include "../plan/scenario.hpp"
#include "recording.hpp"

using namespace shardsim;

namespace {

/// The DeepSpeed configuration that the recorded engine ran with.
nlohmann::json config_of(const nlohmann::json& recorded) {
  nlohmann::json zero = recorded.at("zero");
  zero["stage"] = recorded.at("stage");
  if (recorded.contains("offload")) zero["offload_optimizer"] = {{"device", "cpu"}, {"pin_memory", false}};
  if (recorded.value("offload", "") == "both") zero["offload_param"] = {{"device", "cpu"}, {"pin_memory", false}};
  return {{"train_micro_batch_size_per_gpu", recorded.at("batch")},
          {"gradient_accumulation_steps", recorded.at("accumulation")},
          {"zero_optimization", zero},
          {"bf16", {{"enabled", recorded.at("precision") == "bf16"}}}};
}

struct Run {
  std::int64_t between = 0;
  std::map<Phase, std::int64_t> peaks;
  std::vector<std::int64_t> collectives;  ///< elements sent, by a ring; reductions are negative
};

/// Bytes on the device and in host memory: the real engine had all of them in one place.
Run run_of(const Plan& plan, const Program& program, std::int64_t ranks, std::int64_t element) {
  Run run;
  Mark mark;
  const auto note = [&] {
    if (mark.step == 1) run.peaks[mark.phase] = std::max(run.peaks[mark.phase], run.between);
  };
  for (const Instruction& instruction : program.instructions) {
    if (instruction.kind == Instruction::Kind::mark) {
      mark = program.marks[instruction.index];
      note();
    }
    if (instruction.kind != Instruction::Kind::allocate && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    if (plan.labels[tensor.label.index()] == "cublas workspace") continue;
    run.between += instruction.kind == Instruction::Kind::allocate ? tensor.bytes : -tensor.bytes;
    note();
  }
  for (const Task& task : program.tasks) {
    if (task.kind != TaskKind::collective || task.step != 1 || task.phase == Phase::optimizer) continue;
    const std::string& label = plan.labels[task.label.index()];
    const double passes = label == "all-reduce gradients" ? 2 : 1;
    const double sent = plan.transfers[task.transfer.index()].bytes;
    const double ring = static_cast<double>(ranks) / static_cast<double>(ranks - 1);
    const auto elements = std::llround(sent / static_cast<double>(element) / passes * ring);
    run.collectives.push_back(label.starts_with("all-gather") ? elements : -elements);
  }
  return run;
}

/// Collectives that agree, in order. NCCL's protocols LL and LL128 send flags beside the data (collective_time.hpp).
std::int64_t agreeing(const std::vector<std::int64_t>& sent, const std::vector<std::int64_t>& real) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < std::min(sent.size(), real.size()); ++i) {
    const double ratio = static_cast<double>(sent[i]) / static_cast<double>(real[i]);
    const auto is = [&](double overhead) { return std::abs(ratio / overhead - 1) < 1e-4; };
    if (is(1) || is(2) || is(1 / 0.92)) ++count;
  }
  return count;
}

std::vector<std::int64_t> real_collectives(const nlohmann::json& recorded) {
  std::vector<std::int64_t> collectives;
  for (const nlohmann::json& call : recorded.at("collectives")) {
    const std::string name = call[0];
    const std::int64_t elements = call[1];
    if (name == "all_reduce" && elements < oracle::scalar) continue;
    for (int i = 0; i < call[2].get<int>(); ++i)
      collectives.push_back(name.rfind("all_gather", 0) == 0 ? elements : -elements);
  }
  return collectives;
}

std::string name_of_case(const nlohmann::json& recorded) {
  std::string name = "ZeRO-" + std::to_string(recorded.at("stage").get<int>()) + " x" +
                     std::to_string(recorded.at("world").get<int>()) + " " +
                     recorded.at("precision").get<std::string>();
  if (recorded.contains("offload")) name += " offload " + recorded.at("offload").get<std::string>();
  if (recorded.at("accumulation") != 1) name += " accumulated";
  return name + " " + recorded.at("zero").dump();
}

}  // namespace

std::vector<oracle::Row> oracle::zero() {
  std::vector<Row> rows;
  const nlohmann::json file = recording("zero.json");
  for (const nlohmann::json& recorded : file.at("cases")) {
    const ConfigFolder folder;
    const std::int64_t ranks = recorded.at("world");
    const std::string precision = recorded.at("precision");
    const test::Planned planned = test::plan({"--topology", std::to_string(ranks) + "xH100", "--deepspeed",
                                              folder.write(config_of(recorded).dump(), "ds.json").string(), "--model",
                                              folder.write(file.at("model").dump()).string(), "--seq-len",
                                              std::to_string(recorded.at("seq").get<int>()), "--precision",
                                              precision == "bf16" ? "bf16-mixed" : precision});
    const Plan& plan = planned.run.plan;
    const std::int64_t element = precision == "bf16" ? 2 : 4;
    const Run ours = run_of(plan, plan.programs.front(), ranks, element);
    const std::string name = name_of_case(recorded);
    const std::int64_t batch = recorded.at("batch").get<std::int64_t>() * recorded.at("seq").get<std::int64_t>() * 8;
    // One process on a CPU: what is copied from host to device is the host's tensor itself.
    const bool shares = ranks == 1 && recorded.value("offload", "") == "both";
    rows.push_back({name, "between steps", ours.between, recorded.at("between").get<std::int64_t>() - batch,
                    shares ? 0.03 : 0, shares ? "persistent parameters have no copy on a CPU" : ""});
    if (!recorded.contains("offload")) {  // copies between device and host are none on a CPU
      const std::map<std::string, Phase> phases{
          {"forward", Phase::forward}, {"backward", Phase::backward}, {"optimizer", Phase::optimizer}};
      for (const auto& [phase, id] : phases) {
        rows.push_back({name, phase, ours.peaks.at(id), recorded.at("peaks").at(phase), 0.002, ""});
      }
    }
    if (ranks == 1) continue;
    const std::vector<std::int64_t> real = real_collectives(recorded);
    rows.push_back({name, "collectives", static_cast<std::int64_t>(ours.collectives.size()),
                    static_cast<std::int64_t>(real.size()), 0, ""});
    rows.push_back({name, "collectives that agree", agreeing(ours.collectives, real),
                    static_cast<std::int64_t>(real.size()), 0, ""});
  }
  return rows;
}

TEST_CASE("ZeRO keeps, peaks and communicates as DeepSpeed does") { oracle::check(oracle::zero()); }
