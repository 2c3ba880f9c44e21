// Does an accelerate YAML come to the strategy that accelerate would launch?
#include "catch.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "request/settings_text.hpp"
#include "sim/request/accelerate_config.hpp"
#include "sim/request/parse_request.hpp"

using namespace shardsim;

namespace {

std::string data(const std::string& name) { return std::string(SHARDSIM_SOURCE) + "/tests/request/data/" + name; }

RuntimeConfig config_of(std::string_view text) {
  const SettingsText file(text, ".yaml");
  return read_accelerate_config(file.path());
}
std::string refusal_of(std::string_view text) {
  return refusal([&] { config_of(text); });
}

}  // namespace

TEST_CASE("FSDP2 as accelerate writes it") {
  const Request request = parse_request({"--topology", "8xH100", "--accelerate", data("accelerate-fsdp2.yaml")});
  CHECK(request.strategy == "fsdp");
  CHECK(request.precision == Precision::bf16_mixed);
  CHECK(request.reduce_dtype == DType::bf16);
  CHECK(request.checkpointing == Checkpointing::full);
  CHECK(request.processes == 8);
  CHECK(request.machines == 1);
  CHECK(request.warnings.empty());
}

TEST_CASE("FSDP1, by number, with the older name of the prefetch key") {
  const RuntimeConfig config = read_accelerate_config(data("accelerate-fsdp1.yaml"));
  CHECK(config.options.at("strategy").value == "fsdp1-grad-op-offload");
  CHECK(config.fsdp.backward_prefetch == FsdpOptions::Prefetch::pre);
  CHECK(config.fsdp.use_orig_params);
  CHECK(config.processes == 16);
  CHECK(config.machines == 2);
  CHECK(config.warnings.empty());
}

TEST_CASE("accelerate's defaults") {
  const RuntimeConfig config = config_of("distributed_type: FSDP\nfsdp_config: {fsdp_offload_params: false}\n");
  CHECK(config.options.at("strategy").value == "fsdp1");
  CHECK(config.options.at("precision").value == "fp32");
  CHECK_FALSE(config.options.contains("reduce-dtype"));
  CHECK(config.fsdp.backward_prefetch == FsdpOptions::Prefetch::none);
  CHECK_FALSE(config.fsdp.use_orig_params);
  CHECK(config.fsdp.limit_all_gathers);
  REQUIRE(config.warnings.size() == 1);
  CHECK_THAT(config.warnings[0], Contains("fsdp_auto_wrap_policy: is missing"));
  CHECK(config_of("distributed_type: MULTI_GPU\nmixed_precision: bf16\n").options.at("precision").value == "amp-bf16");
  CHECK(config_of("mixed_precision: no\n").options.at("strategy").value == "single");
  CHECK(config_of("distributed_type: DEEPSPEED\n").options.at("strategy").value == "zero2");
}

TEST_CASE("the DeepSpeed section, and the file that it may name") {
  const Request request = parse_request({"--topology", "4xA100", "--accelerate", data("accelerate-zero3.yaml")});
  CHECK(request.strategy == "zero3-offload-optimizer");
  CHECK(request.grad_accum == 4);
  CHECK(request.zero.gather_16bit_weights_on_save);
  CHECK(request.zero.reduce_bucket_size == 500'000'000);
  CHECK(request.warnings.empty());
  const Request named = parse_request({"--topology", "8xA100", "--accelerate", data("accelerate-deepspeed-file.yaml")});
  CHECK(named.strategy == "zero3-offload");
  CHECK(named.zero.auto_reduce_bucket_size);
  CHECK_THAT(refusal_of("distributed_type: DEEPSPEED\nmixed_precision: bf16\n"
                        "deepspeed_config: {deepspeed_config_file: x.json}\n"),
             Contains("accelerate refuses mixed_precision beside deepspeed_config_file"));
  CHECK_THAT(
      refusal_of("distributed_type: DEEPSPEED\ndeepspeed_config: {deepspeed_config_file: x.json, zero_stage: 3}\n"),
      Contains("accelerate refuses zero_stage beside"));
}

TEST_CASE("what accelerate can launch and nobody simulates is refused by name") {
  CHECK_THAT(refusal_of("distributed_type: MEGATRON_LM\n"), Contains("MEGATRON_LM is not simulated yet"));
  CHECK_THAT(refusal_of("distributed_type: FSDP\nfsdp_config: {fsdp_sharding_strategy: NO_SHARD}\n"),
             Contains("NO_SHARD is not simulated yet"));
  CHECK_THAT(refusal_of("distributed_type: FSDP\nfsdp_config: {fsdp_auto_wrap_policy: NO_WRAP}\n"),
             Contains("NO_WRAP is not simulated yet"));
  CHECK_THAT(refusal_of("use_cpu: true\n"), Contains("not simulated"));
}

TEST_CASE("malformed YAML gets one line") {
  CHECK_THAT(refusal_of("a: [1,\n"), Contains("malformed YAML"));
  CHECK_THAT(refusal_of("- 1\n"), Contains("holds no settings"));
  CHECK_THAT(refusal_of(""), Contains("holds no settings"));
  CHECK_THAT(refusal_of("a: 1\na: 2\n"), Contains("'a' stands twice"));
  CHECK_THAT(refusal_of("x: &x {a: 1}\ny: {<<: *x}\n"), Contains("merge keys"));
  CHECK_THAT(refusal_of("distributed_type: FSDP\nfsdp_config: {fsdp_version: 3}\n"), Contains("1 or 2"));
  CHECK_THAT(refusal([] {
               parse_request({"--topology", "4xA100", "--accelerate", "a.yaml", "--deepspeed", "b.json"});
             }),
             Contains("contradict each other"));
}
