// What a DeepSpeed or accelerate file leaves to the model and the machine: "auto", batch sizes, the number of ranks.
#include "catch.hpp"
#include "plan/scenario.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "request/settings_text.hpp"

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
  CHECK_THAT(warnings(R"({"stage": 3, "offload_optimizer": {"device": "cpu", "ratio": 0.5}})"),
             Contains("ratio below 1"));
}
