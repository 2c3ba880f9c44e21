// What activation checkpointing keeps and runs again. By hand for Llama-3-8B, bytes a token and layer: with
// torchtitan's fused norms nothing is checkpointed at 8h + 4q + 4kv + 8f + 4a + 8, a checkpointed layer keeps 2h,
// torchtitan's policy for operators 8h + 2kv + 2f + 4a (q = h): its input, q, v, attention's output and row sums, w1
// and w2.
#include "catch.hpp"
#include "scenario.hpp"

using namespace shardsim;

namespace {

constexpr std::int64_t tokens = 2048, hidden = 4096, kv = 1024, ffn = 14336, heads = 32, layers = 32;

test::Planned planned(const std::string& checkpointing, const std::string& implementation = "torchtitan") {
  return test::plan({"--topology", "8xH100", "--strategy", "fsdp", "--model", "llama-3-8b", "--seq-len", "2048",
                     "--implementation", implementation, "--loss", "plain", "--checkpointing", checkpointing});
}

/// Activations that are live when backward begins.
std::int64_t kept(const test::Planned& run) {
  const Program& program = run.run.plan.programs.front();
  std::int64_t live = 0;
  for (const Instruction& instruction : program.instructions) {
    if (instruction.kind == Instruction::Kind::mark && program.marks[instruction.index].phase == Phase::backward) break;
    if (instruction.kind != Instruction::Kind::allocate && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    if (tensor.category != Category::activations) continue;
    live += instruction.kind == Instruction::Kind::allocate ? tensor.bytes : -tensor.bytes;
  }
  return live;
}

}  // namespace

TEST_CASE("Each policy keeps what it says, to the byte") {
  const std::int64_t none = kept(planned("none")), full = kept(planned("full"));
  CHECK(none - full == layers * tokens * (10 * hidden + 4 * kv + 8 * ffn + 4 * heads + 8));
  CHECK(kept(planned("selective")) - full == layers * tokens * (6 * hidden + 2 * kv + 2 * ffn + 4 * heads));
  CHECK(kept(planned("every:1")) == full);
  CHECK(kept(planned("every:2")) == (none + full) / 2);
  CHECK(kept(planned("every:3")) == none - 10 * (none - full) / layers);
  CHECK(kept(planned("every:33")) == none);
}

TEST_CASE("What runs again is counted by operator") {
  const double t = tokens;
  const double projections = 2 * t * hidden * (2 * hidden + 2 * kv), mlp = 6 * t * hidden * ffn;
  const double attention = 2 * t * t * hidden;  // causal
  const auto recomputed = [](const std::string& checkpointing, const std::string& implementation) {
    return planned(checkpointing, implementation).run.recomputed_flops;
  };
  CHECK(recomputed("none", "torchtitan") == 0);
  CHECK(recomputed("full", "torchtitan") == Approx(layers * (projections + mlp + attention)));
  CHECK(recomputed("every:2", "torchtitan") == Approx(layers / 2 * (projections + mlp + attention)));
  CHECK(recomputed("selective", "torchtitan") == Approx(layers * 2 * t * hidden * (kv + hidden + ffn)));  // k, o, w3
  // torch's default stops before the last product.
  CHECK(recomputed("full", "hf") == Approx(layers * (projections + mlp * 2 / 3 + attention)));
}

TEST_CASE("torchtitan keeps every biased or batched product") {
  const auto run = test::plan({"--topology", "1xH100", "--strategy", "single", "--model", "gpt2", "--seq-len", "512",
                               "--checkpointing", "selective"});
  CHECK(run.run.recomputed_flops == 0);
}

TEST_CASE("Every policy, loss and implementation leaves nothing behind, under every strategy") {
  const auto live_after_step = [](const Program& program, std::uint16_t wanted) {
    std::int64_t live = 0;
    std::uint16_t step = 0;
    for (const Instruction& instruction : program.instructions) {
      if (instruction.kind == Instruction::Kind::mark) step = program.marks[instruction.index].step;
      if (step > wanted) break;
      if (instruction.kind != Instruction::Kind::allocate && instruction.kind != Instruction::Kind::release) continue;
      const Tensor& tensor = program.tensors[instruction.index];
      const bool lasts = tensor.category != Category::activations && tensor.category != Category::logits;
      if (lasts || tensor.pool != Pool::device) continue;
      live += instruction.kind == Instruction::Kind::allocate ? tensor.bytes : -tensor.bytes;
    }
    return live;
  };
  struct Recipe {
    std::string implementation, loss, checkpointing, precision;
  };
  const std::vector<Recipe> recipes{{"hf", "eager", "full", "amp-bf16"},
                                    {"hf", "fused", "selective", "amp-bf16"},
                                    {"torchtitan", "chunked", "selective", "bf16-mixed"},
                                    {"liger", "fused", "every:2", "bf16-mixed"},
                                    {"megatron", "plain", "full", "bf16"},
                                    {"megatron", "chunked", "every:3", "fp32"}};
  for (const std::string strategy : {"ddp", "zero1", "zero2", "zero3", "zero3-offload", "fsdp", "fsdp-offload"}) {
    for (const Recipe& recipe : recipes) {
      for (const std::string model : {"gpt2", "llama-3.2-1b"}) {
        INFO(strategy << " " << recipe.implementation << " " << recipe.loss << " " << recipe.checkpointing << " "
                      << model);
        const auto run =
            test::plan({"--topology", "4xA100", "--strategy", strategy, "--model", model, "--seq-len", "512",
                        "--implementation", recipe.implementation, "--loss", recipe.loss, "--checkpointing",
                        recipe.checkpointing, "--precision", recipe.precision, "--grad-accum", "2"});
        for (const Program& program : run.run.plan.programs) {
          CHECK(live_after_step(program, 0) == 0);
          CHECK(live_after_step(program, 1) == 0);
        }
        CHECK(shardsim::run(run.run.plan).deadlock.empty());
      }
    }
  }
}
