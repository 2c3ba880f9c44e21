// A training loop that still names the model's outputs holds their logits through backward.
#include "catch.hpp"
#include "scenario.hpp"

using namespace shardsim;

namespace {

struct Logits {
  std::int64_t in_backward = 0;  ///< tensors that are live while the first layer's backward runs
  std::int64_t at_end = 0;
};

/// Of fp32 logits as the model returns them.
Logits returned_logits(const std::string& keeps) {
  const test::Planned planned =
      test::plan({"--topology", "1xA100-SXM4-80GB", "--strategy", "single", "--model", "llama-3.2-1b", "--seq-len",
                  "512", "--micro-batch", "3", "--grad-accum", "2", "--transformers", "4.45", "--keep-outputs", keeps});
  const std::int64_t logits = 4 * 3 * 512 * planned.scenario.architecture.dims.vocab;
  std::int64_t live = 0;
  Logits seen;
  const Program& program = planned.run.plan.programs.front();
  Mark mark;
  for (const Instruction& instruction : program.instructions) {
    if (instruction.kind == Instruction::Kind::mark) mark = program.marks[instruction.index];
    const bool allocates = instruction.kind == Instruction::Kind::allocate;
    if (!allocates && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    if (tensor.bytes == logits) live += allocates ? 1 : -1;
    if (mark.phase == Phase::backward && mark.layer == 0) seen.in_backward = std::max(seen.in_backward, live);
  }
  seen.at_end = live;
  return seen;
}

}  // namespace

TEST_CASE("kept outputs live until backward is over, and no longer") {
  CHECK(returned_logits("off").in_backward == 0);
  CHECK(returned_logits("on").in_backward == 1);
  CHECK(returned_logits("off").at_end == 0);
  CHECK(returned_logits("on").at_end == 0);
}
