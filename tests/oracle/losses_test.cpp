// The order in which the losses of older transformers allocate, against the real ones (losses.py).
#include <algorithm>
#include <cstdint>

#include "../plan/scenario.hpp"
#include "recording.hpp"

using namespace shardsim;

namespace {

/// What goes between two allocations goes in any order.
std::vector<std::int64_t> frees_sorted(std::vector<std::int64_t> events) {
  auto from = events.begin();
  while (from != events.end()) {
    from = std::find_if(from, events.end(), [](std::int64_t bytes) { return bytes < 0; });
    const auto to = std::find_if(from, events.end(), [](std::int64_t bytes) { return bytes > 0; });
    std::sort(from, to);
    from = to;
  }
  return events;
}

test::Planned planned(const nlohmann::json& recorded) {
  const bool plain = recorded.at("loss") == "plain";
  return test::plan({"--topology",       "1xA100-SXM4-80GB",
                     "--strategy",       "single",
                     "--model",          SHARDSIM_SOURCE "/tests/oracle/data/losses_model.json",
                     "--transformers",   recorded.at("transformers"),
                     "--loss",           recorded.at("loss"),
                     "--implementation", plain ? "foak" : "hf",
                     "--precision",      recorded.at("amp") ? "bf16-mixed" : "bf16",
                     "--peft",           "lora",
                     "--lora-rank",      "4",
                     "--lora-targets",   "q_proj",
                     "--checkpointing",  "full",
                     "--use-reentrant",  "on",
                     "--seq-len",        std::to_string(recorded.at("seq_len").get<int>()),
                     "--micro-batch",    std::to_string(recorded.at("micro_batch").get<int>())});
}

/// Of the last step: bytes of what is allocated and, negative, of what goes, from `least` on.
std::vector<std::int64_t> events_of(const Program& program, std::int64_t least) {
  std::vector<std::int64_t> events;
  std::uint16_t step = 0;
  for (const Instruction& instruction : program.instructions) {
    if (instruction.kind == Instruction::Kind::mark && program.marks[instruction.index].step != step) {
      step = program.marks[instruction.index].step;
      events.clear();
    }
    const bool allocates = instruction.kind == Instruction::Kind::allocate;
    if (!allocates && instruction.kind != Instruction::Kind::release) continue;
    const std::int64_t bytes = program.tensors[instruction.index].bytes;
    if (bytes >= least) events.push_back(allocates ? bytes : -bytes);
  }
  return events;
}

}  // namespace

TEST_CASE("older transformers' losses allocate what theirs do, in their order") {
  const nlohmann::json recording = oracle::recording("losses.json");
  for (const nlohmann::json& recorded : recording.at("cases")) {
    INFO(recorded.dump());
    const std::int64_t logits = 2 * recorded.at("micro_batch").get<std::int64_t>() *
                                recorded.at("seq_len").get<std::int64_t>() * recorded.at("vocab").get<std::int64_t>();
    const test::Planned run = planned(recorded);
    const std::vector<std::int64_t> ours = events_of(run.run.plan.programs.front(), logits * 9 / 10);
    CHECK(frees_sorted(ours) == frees_sorted(recorded.at("events").get<std::vector<std::int64_t>>()));
  }
}
