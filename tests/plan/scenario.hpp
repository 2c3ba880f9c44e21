// Plans for tests, and a plain replay of their allocations that shares no code with the engine.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "sim/engine/engine.hpp"
#include "sim/plan/make_plan.hpp"
#include "sim/plan/runtime_defaults.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/simulate.hpp"

namespace shardsim::test {

inline const DataFolders& data() {
  static const DataFolders folders{std::string(SHARDSIM_SOURCE) + "/model/zoo",
                                   std::string(SHARDSIM_SOURCE) + "/topologies"};
  return folders;
}

/// As typed: {"--topology", "8xH100", "--strategy", "zero3", ...}.
inline Request request(const std::vector<std::string>& words) { return parse_request(words); }

struct Planned {
  Request request;
  Scenario scenario;
  PlannedRun run;
};
inline Planned plan(const std::vector<std::string>& words, Folding folding = Folding::on) {
  Planned planned{request(words), {}, {}};
  planned.scenario = load_scenario(planned.request, data());
  planned.request = with_runtime_defaults(planned.request, planned.scenario.topology, planned.scenario.architecture,
                                          planned.scenario.topology.assumptions);
  planned.scenario.architecture = apply_adapter(std::move(planned.scenario.architecture), planned.request.peft);
  planned.run = make_plan(planned.request, planned.scenario.topology, planned.scenario.architecture, folding);
  return planned;
}

/// Live bytes by label; host memory's labels begin with "host ", and all parameters' gradients are "grad".
struct Live {
  std::map<std::string, std::int64_t> by_label;
  std::int64_t total(const std::function<bool(std::string_view)>& wanted) const {
    std::int64_t sum = 0;
    for (const auto& [label, bytes] : by_label) {
      if (wanted(label)) sum += bytes;
    }
    return sum;
  }
};

/// Calls `see` after each allocation and release, with the mark in force.
inline void replay(const Plan& plan, const Program& program, const std::function<void(const Live&, const Mark&)>& see) {
  Live live;
  Mark mark;
  for (const Instruction& instruction : program.instructions) {
    if (instruction.kind == Instruction::Kind::mark) mark = program.marks[instruction.index];
    if (instruction.kind != Instruction::Kind::allocate && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    const std::string place = tensor.pool == Pool::device ? "" : "host ";
    const std::int64_t sign = instruction.kind == Instruction::Kind::allocate ? 1 : -1;
    const std::string& label = plan.labels[tensor.label.index()];
    live.by_label[place + (label.starts_with("grad of ") ? "grad" : label)] += sign * tensor.bytes;
    see(live, mark);
  }
}

}  // namespace shardsim::test
