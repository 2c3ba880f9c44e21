// Laws over random models, recipes and machines; a failure shrinks to a small case.
#include <rapidcheck.h>

#include <numeric>

#include "../plan/scenario.hpp"
#include "catch.hpp"
#include "sim/report/make_report.hpp"

using namespace shardsim;

namespace {

Dimensions random_dimensions() {
  Dimensions d;
  d.family = *rc::gen::element(Family::llama, Family::qwen2, Family::qwen3, Family::gpt2);
  const bool gpt = d.family == Family::gpt2;
  d.kv_heads = *rc::gen::inRange<std::int64_t>(1, 5);
  d.heads = d.kv_heads * (gpt ? 1 : *rc::gen::inRange<std::int64_t>(1, 4));
  d.head_dim = 8 * *rc::gen::inRange<std::int64_t>(1, 17);
  d.hidden = gpt ? d.heads * d.head_dim : 8 * *rc::gen::inRange<std::int64_t>(1, 65);
  d.ffn = *rc::gen::inRange<std::int64_t>(1, 600);
  d.layers = *rc::gen::inRange<std::int64_t>(1, 6);
  d.vocab = *rc::gen::inRange<std::int64_t>(2, 4000);
  d.max_positions = 4096;
  d.embedding_dim = d.hidden;
  d.tied_embeddings = gpt || *rc::gen::arbitrary<bool>();
  d.qk_norm = d.family == Family::qwen3;
  d.attention_bias = d.family == Family::qwen2 || gpt;
  if (gpt) {
    d.learned_positions = d.fused_qkv = d.output_bias = d.mlp_bias = d.norm_bias = true;
    d.rotary = d.gated_mlp = false;
    d.norm = NormKind::layer;
    d.activation = Activation::gelu_new;
  }
  return d;
}

Request random_request(std::string& machine) {
  machine = *rc::gen::element<std::string>("2xA100", "3xRTX-4090", "4xH100", "dgx-1v");
  const auto strategy = *rc::gen::element<std::string>("ddp", "zero1", "zero2", "zero3", "fsdp", "fsdp-grad-op",
                                                       "zero2-offload", "zero3-offload", "fsdp-offload");
  const auto precision = *rc::gen::element<std::string>("bf16-mixed", "fp16-mixed", "bf16", "fp32");
  const auto checkpointing = *rc::gen::element<std::string>("none", "full");
  const auto seq = std::to_string(*rc::gen::inRange(1, 700));
  const auto micro = std::to_string(*rc::gen::inRange(1, 4));
  const auto accumulation = std::to_string(*rc::gen::inRange(1, 4));
  return test::request({"--topology", machine, "--strategy", strategy, "--precision", precision, "--checkpointing",
                        checkpointing, "--seq-len", seq, "--micro-batch", micro, "--grad-accum", accumulation});
}

}  // namespace

TEST_CASE("Random models under random recipes obey the laws") {
  const auto law = [] {
    const Architecture architecture = build_architecture(random_dimensions(), "random");
    std::string machine;
    const Request typed = random_request(machine);
    Topology topology = load_topology(machine, {}, test::data().topologies);
    const Request request = with_runtime_defaults(typed, topology, architecture, topology.assumptions);
    const PlannedRun planned = make_plan(request, topology, architecture);
    const Outcome outcome = run(planned.plan);
    RC_ASSERT(outcome.deadlock.empty());
    RC_ASSERT(outcome.step_time > Time{});
    for (std::size_t p = 0; p < planned.plan.programs.size(); ++p) {
      const ProgramOutcome& seen = outcome.programs[p];
      RC_ASSERT(std::accumulate(seen.device.by_category.begin(), seen.device.by_category.end(), std::int64_t{0}) ==
                seen.device.allocated);
      RC_ASSERT(seen.device.reserved >= seen.device.allocated);
      std::int64_t live = 0;
      for (const Instruction& instruction : planned.plan.programs[p].instructions) {
        if (instruction.kind == Instruction::Kind::allocate)
          live += planned.plan.programs[p].tensors[instruction.index].bytes;
        if (instruction.kind == Instruction::Kind::release)
          live -= planned.plan.programs[p].tensors[instruction.index].bytes;
        RC_ASSERT(live >= 0);
      }
    }
    const PlannedRun alone = make_plan(request, topology, architecture, Folding::off);
    RC_ASSERT(run(alone.plan).step_time == outcome.step_time);
    const Report report = make_report(request, topology, architecture, planned, outcome);
    RC_ASSERT(report.model.parameters == architecture.parameter_count());
    RC_ASSERT(report.step.hfu >= report.step.mfu);
  };
  CHECK(rc::check("laws", law));
}
