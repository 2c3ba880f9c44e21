// What a DeepSpeed or accelerate file leaves to the model and the machine: "auto", batch sizes, the number of ranks.
#include <algorithm>

#include "catch.hpp"
#include "plan/scenario.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "request/settings_text.hpp"
#include "sim/plan/deepspeed.hpp"

using namespace shardsim;

namespace {

std::string data(const std::string& name) { return std::string(SHARDSIM_SOURCE) + "/tests/request/data/" + name; }

Request resolved(std::vector<std::string> words) {
  const Request request = parse_request(words);
  Scenario scenario = load_scenario(request, test::data());
  return with_runtime_defaults(request, scenario.topology, scenario.architecture, scenario.topology.assumptions);
}
Request resolved_text(std::string_view text, std::vector<std::string> more = {}) {
  const SettingsText file(text, ".json");
  std::vector<std::string> words = {"--topology", "8xA100", "--deepspeed", file.path()};
  words.insert(words.end(), more.begin(), more.end());
  return resolved(words);
}

std::int64_t largest(const test::Planned& planned, std::string_view label) {
  std::int64_t bytes = 0;
  for (const Tensor& tensor : planned.run.plan.programs.front().tensors) {
    if (planned.run.plan.labels[tensor.label.index()] == label) bytes = std::max(bytes, tensor.bytes);
  }
  return bytes;
}

}  // namespace

TEST_CASE("auto sizes follow the hidden size as Hugging Face computes them") {
  // transformers/integrations/deepspeed.py: h*h, 0.9*h*h, 10*h; Llama-3-8B has h = 4096.
  const Request request =
      resolved({"--topology", "8xA100", "--model", "llama-3-8b", "--deepspeed", data("hf-zero3.json")});
  CHECK(request.zero.reduce_bucket_size == 16'777'216);
  CHECK(request.zero.prefetch_bucket_size == 15'099'494);
  CHECK(request.zero.persistence_threshold == 40'960);
  CHECK(request.zero.max_live_parameters == 1'000'000'000);
  const Request two =
      resolved({"--topology", "8xA100", "--model", "llama-3-8b", "--deepspeed", data("llama-factory-zero2.json")});
  CHECK(two.zero.reduce_bucket_size == 500'000'000);
}

TEST_CASE("the plan's buckets are the file's") {
  const test::Planned automatic =
      test::plan({"--topology", "2xA100", "--model", "gpt2", "--deepspeed", data("llama-factory-zero3-offload.json")});
  CHECK(largest(automatic, "ipg bucket") == 768 * 768 * 2);
  const test::Planned two =
      test::plan({"--topology", "2xA100", "--model", "gpt2", "--deepspeed", data("hf-zero2.json")});
  CHECK(largest(two, "ipg bucket") == 400'000'000);
}

TEST_CASE("two of total, micro-batch and accumulation give the third") {
  // deepspeed/runtime/config.py, _set_batch_related_parameters.
  const auto batch = [](const Request& request) { return std::pair(request.micro_batch, request.grad_accum); };
  CHECK(batch(resolved_text(R"({"bf16": {"enabled": true}, "train_batch_size": 64,
                                "train_micro_batch_size_per_gpu": 2})")) ==
        std::pair<std::int64_t, std::int64_t>(2, 4));
  CHECK(batch(resolved_text(R"({"bf16": {"enabled": true}, "train_batch_size": 64,
                                "gradient_accumulation_steps": 2})")) == std::pair<std::int64_t, std::int64_t>(4, 2));
  CHECK(batch(resolved_text(R"({"bf16": {"enabled": true}, "train_batch_size": 64})")) ==
        std::pair<std::int64_t, std::int64_t>(8, 1));
  CHECK(batch(resolved_text(R"({"bf16": {"enabled": true}, "train_batch_size": 64})", {"--micro-batch", "1"})) ==
        std::pair<std::int64_t, std::int64_t>(1, 8));
  CHECK_THAT(refusal([] {
               resolved_text(R"({"bf16": {"enabled": true}, "train_batch_size": 64, "gradient_accumulation_steps": 2,
                                 "train_micro_batch_size_per_gpu": 2})");
             }),
             Contains("train_batch_size 64 is not micro-batch 2 x accumulation 2 x 8 ranks"));
  CHECK_THAT(refusal([] { resolved_text(R"({"bf16": {"enabled": true}, "train_batch_size": 4})"); }),
             Contains("train_batch_size 4 is not"));
}

TEST_CASE("num_processes and num_machines must be the topology's") {
  const std::string file = data("accelerate-fsdp2.yaml");
  CHECK(resolved({"--topology", "8xH100", "--accelerate", file}).kind == StrategyKind::fsdp);
  CHECK_THAT(refusal([&] {
               resolved({"--topology", "4xH100", "--accelerate", file});
             }),
             Contains("num_processes is 8, the topology 4xH100-SXM5-80GB has 4 GPUs"));
  CHECK_THAT(refusal([&] {
               resolved({"--topology", "2x4xH100", "--accelerate", file});
             }),
             Contains("num_machines is 1"));
}

namespace {

test::Planned plan_of(const std::string& zero, const std::string& rest = "") {
  const SettingsText file(R"({"bf16": {"enabled": true}, "zero_optimization": )" + zero + rest + "}", ".json");
  return test::plan({"--topology", "4xA100", "--model", "gpt2", "--deepspeed", file.path()});
}

std::size_t count(const test::Planned& planned, std::string_view label) {
  const Program& program = planned.run.plan.programs.front();
  return static_cast<std::size_t>(std::count_if(program.tensors.begin(), program.tensors.end(), [&](const Tensor& t) {
    return planned.run.plan.labels[t.label.index()] == label;
  }));
}

bool has_stream(const test::Planned& planned, std::string_view name) {
  const std::vector<std::string>& streams = planned.run.plan.programs.front().streams;
  return std::find(streams.begin(), streams.end(), name) != streams.end();
}

/// Bytes of all collectives of that label's tasks, in the first program.
double carried(const test::Planned& planned, std::string_view label) {
  const Plan& plan = planned.run.plan;
  double bytes = 0;
  for (const Task& task : plan.programs.front().tasks) {
    if (task.kind == TaskKind::collective && plan.labels[task.label.index()] == label) {
      bytes += plan.transfers[task.transfer.index()].bytes;
    }
  }
  return bytes;
}

Time step_time(const test::Planned& planned) { return run(planned.run.plan).step_time; }

}  // namespace

TEST_CASE("overlap_comm in stages 1 and 2: a second bucket and a stream of its own") {
  for (const std::string stage : {"1", "2"}) {
    const test::Planned off = plan_of(R"({"reduce_bucket_size": 2e7, "stage": )" + stage + "}");
    const test::Planned on = plan_of(R"({"reduce_bucket_size": 2e7, "overlap_comm": true, "stage": )" + stage + "}");
    CHECK_FALSE(has_stream(off, "reduction"));
    CHECK(has_stream(on, "reduction"));
    CHECK(count(on, "ipg bucket") == 2 * count(off, "ipg bucket"));
    CHECK(carried(on, "all-reduce gradients") == carried(off, "all-reduce gradients"));
    CHECK(step_time(on) < step_time(off));
  }
}

TEST_CASE("overlap_comm off in stage 3 leaves one stream and takes longer") {
  const test::Planned on = plan_of(R"({"stage": 3})");
  const test::Planned off = plan_of(R"({"stage": 3, "overlap_comm": false})");
  CHECK(has_stream(on, "all-gather"));
  CHECK_FALSE(has_stream(off, "all-gather"));
  CHECK_FALSE(has_stream(off, "reduce-scatter"));
  CHECK(step_time(on) < step_time(off));
}

TEST_CASE("reduce_scatter off: the bucket is all-reduced where it is") {
  const test::Planned two = plan_of(R"({"stage": 2, "reduce_scatter": false})");
  CHECK(count(plan_of(R"({"stage": 2})"), "flat bucket") > 0);
  CHECK(count(two, "flat bucket") == 0);
  const test::Planned three = plan_of(R"({"stage": 3, "reduce_scatter": false})");
  CHECK(carried(three, "reduce-scatter") == 0);
  CHECK(carried(three, "all-reduce gradients") > 0);
}

TEST_CASE("communication_data_type fp32 doubles what gradients carry") {
  const std::string wide = R"(, "communication_data_type": "fp32")";
  CHECK(carried(plan_of(R"({"stage": 2})", wide), "all-reduce gradients") ==
        Approx(2 * carried(plan_of(R"({"stage": 2})"), "all-reduce gradients")));
  CHECK(carried(plan_of(R"({"stage": 3})", wide), "reduce-scatter") ==
        Approx(2 * carried(plan_of(R"({"stage": 3})"), "reduce-scatter")));
}

TEST_CASE("stage 1 that accumulates in fp32 runs BF16_Optimizer") {
  // 2 B of weights, 4 B of gradients for the whole model, 12 B a parameter of the partition; 2 B of bf16 gradients from
  // the backward through the step.
  const test::Planned planned = plan_of(R"({"stage": 1})", R"(, "data_types": {"grad_accum_dtype": "fp32"})");
  const std::int64_t parameters = planned.scenario.architecture.parameter_count();
  const auto bytes = [&](Category category) {
    std::int64_t sum = 0;
    const Program& program = planned.run.plan.programs.front();
    for (const Instruction& instruction : program.instructions) {
      if (instruction.kind == Instruction::Kind::mark && program.marks[instruction.index].phase == Phase::forward) {
        break;
      }
      if (instruction.kind != Instruction::Kind::allocate) continue;
      const Tensor& tensor = program.tensors[instruction.index];
      if (tensor.category == category && tensor.pool == Pool::device) sum += tensor.bytes;
    }
    return static_cast<double>(sum) / static_cast<double>(parameters);
  };
  CHECK(bytes(Category::gradients) == Approx(4).epsilon(1e-4));
  CHECK(bytes(Category::master_weights) == Approx(1).epsilon(1e-4));
  CHECK(count(planned, "ipg bucket") == 0);
  // Two steps of one micro-step, in bf16: 2 (n - 1) / n of 2 B a parameter each.
  CHECK(carried(planned, "all-reduce gradients") ==
        Approx(2 * 2 * 0.75 * 2 * static_cast<double>(parameters)).epsilon(1e-3));
}

TEST_CASE("round_robin_gradients deals parameters out to the ranks") {
  const Architecture gpt2 = load_architecture("gpt2", test::data().zoo);
  const std::vector<ParameterId> registered = flat_groups(gpt2, 0, 4).front().parameters;
  const FlatGroup dealt = flat_groups(gpt2, 0, 4, {.round_robin = true}).front();
  REQUIRE(dealt.parameters.size() == registered.size());
  CHECK(dealt.parameters[0] == registered[0]);
  CHECK(dealt.parameters[1] == registered[4]);
  CHECK(dealt.padded == flat_groups(gpt2, 0, 4).front().padded);
  std::int64_t owned = 0;
  for (std::int64_t rank = 0; rank < 4; ++rank) {
    const FlatGroup group = flat_groups(gpt2, rank, 4, {.round_robin = true}).front();
    for (const OwnedSlice& slice : group.owned) owned += slice.elements;
  }
  std::int64_t all = 0;
  for (const ParameterId p : registered) all += gpt2.parameter(p).numel;
  CHECK(owned == all);
}

TEST_CASE("stage 3's sizes are in force") {
  // Nothing is prefetched nor kept, so that every visit gathers for itself and fewer parameters are live at once.
  const test::Planned eager = plan_of(R"({"stage": 3, "stage3_prefetch_bucket_size": 0, "stage3_max_live_parameters": 0,
                                          "stage3_max_reuse_distance": 0, "stage3_param_persistence_threshold": 0})");
  const test::Planned usual = plan_of(R"({"stage": 3})");
  CHECK(count(eager, "persistent parameter") == 0);
  CHECK(count(usual, "persistent parameter") > 0);
  CHECK(carried(eager, "all-gather") > carried(usual, "all-gather"));
  CHECK(count(plan_of(R"({"stage": 3, "sub_group_size": 1e7})"), "fp32 grad") > count(usual, "fp32 grad"));
}

TEST_CASE("what no plan has is warned about by name") {
  const auto warnings = [](std::string_view zero) {
    std::string all;
    for (const std::string& warning :
         resolved_text(R"({"bf16": {"enabled": true}, "zero_optimization": )" + std::string(zero) + "}").warnings) {
      all += warning + "\n";
    }
    return all;
  };
  CHECK(warnings(R"({"stage": 3, "overlap_comm": true, "round_robin_gradients": true})").empty());
  CHECK(warnings(R"({"stage": 2, "overlap_comm": false})").empty());
  CHECK(warnings(R"({"stage": 3, "offload_optimizer": {"device": "cpu", "ratio": 0.5}})").empty());
  CHECK_THAT(warnings(R"({"stage": 3, "offload_optimizer": {"device": "nvme", "nvme_path": "/x", "ratio": 0.5}})"),
             Contains("ratio below 1"));
  CHECK_THAT(warnings(R"({"stage": 2, "contiguous_gradients": false})"), Contains("contiguous_gradients"));
  const SettingsText wide(R"({"bf16": {"enabled": true}, "zero_optimization": {"stage": 3},
                              "data_types": {"grad_accum_dtype": "fp32"}})",
                          ".json");
  const Request request = resolved({"--topology", "8xA100", "--deepspeed", wide.path()});
  REQUIRE(request.warnings.size() == 1);
  CHECK_THAT(request.warnings[0], Contains("grad_accum_dtype"));
}
