// Does a ds_config.json come to the options that DeepSpeed and Hugging Face's integration would run with?
#include "catch.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "request/settings_text.hpp"
#include "sim/request/parse_request.hpp"

using namespace shardsim;

namespace {

std::string data(const std::string& name) { return std::string(SHARDSIM_SOURCE) + "/tests/request/data/" + name; }

Request request_of(const std::string& path, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"--topology", "8xA100", "--deepspeed", path};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return parse_request(arguments);
}
Request request_of_text(std::string_view text, const std::vector<std::string>& more = {}) {
  const SettingsText file(text, ".json");
  return request_of(file.path(), more);
}
std::string refusal_of_text(std::string_view text) {
  return refusal([&] { request_of_text(text); });
}
std::string warnings_of(std::string_view text) {
  std::string all;
  for (const std::string& warning : request_of_text(text).warnings) all += warning + "\n";
  return all;
}

}  // namespace

TEST_CASE("Hugging Face's ready-made ZeRO-2 file") {
  const Request request = request_of(data("hf-zero2.json"), {"--precision", "fp16-mixed"});
  CHECK(request.strategy == "zero2-offload-optimizer");
  CHECK(request.zero.reduce_bucket_size == 200'000'000);
  CHECK(request.zero.overlap_comm == true);
  CHECK(request.pin_memory == true);
  CHECK(request.precision == Precision::fp16_mixed);
  CHECK(request.warnings.empty());
}

TEST_CASE("Hugging Face's ready-made ZeRO-3 file") {
  const Request request = request_of(data("hf-zero3.json"));
  CHECK(request.strategy == "zero3-offload");
  CHECK(request.offload.optimizer);
  CHECK(request.offload.parameters);
  CHECK(request.zero.auto_reduce_bucket_size);
  CHECK(request.zero.auto_prefetch_bucket_size);
  CHECK(request.zero.auto_persistence_threshold);
  CHECK(request.zero.sub_group_size == 1'000'000'000);
  CHECK(request.zero.gather_16bit_weights_on_save);
  CHECK(request.precision == Precision::bf16_mixed);
  CHECK(request.micro_batch == 1);
  CHECK_FALSE(request.train_batch_size);
  CHECK(request.warnings.empty());
}

TEST_CASE("LLaMA-Factory's ready-made files") {
  const Request two = request_of(data("llama-factory-zero2.json"));
  CHECK(two.strategy == "zero2");
  CHECK(two.zero.reduce_bucket_size == 500'000'000);
  CHECK(two.zero.overlap_comm == false);
  CHECK(two.zero.round_robin_gradients);
  CHECK(two.warnings.empty());
  const Request three = request_of(data("llama-factory-zero3-offload.json"));
  CHECK(three.strategy == "zero3-offload");
  CHECK(three.zero.overlap_comm == false);
  CHECK(three.zero.auto_reduce_bucket_size);
  CHECK(three.warnings.empty());
}

TEST_CASE("every key of zero_optimization reaches its member") {
  const Request request = request_of_text(R"({"bf16": {"enabled": true}, "zero_optimization": {
    "stage": 3, "reduce_bucket_size": 1, "contiguous_gradients": false, "reduce_scatter": false,
    "round_robin_gradients": true, "overlap_comm": false, "sub_group_size": 0, "stage3_prefetch_bucket_size": 3,
    "stage3_param_persistence_threshold": 4, "stage3_max_live_parameters": 5, "stage3_max_reuse_distance": 6,
    "offload_optimizer": {"device": "cpu", "buffer_count": 7, "pipeline_read": true, "pipeline_write": true,
                          "ratio": 0.3, "pin_memory": false},
    "offload_param": {"device": "none", "buffer_count": 8, "buffer_size": 9e8, "max_in_cpu": 10}},
    "data_types": {"grad_accum_dtype": "fp32"}})");
  const ZeroOptions& zero = request.zero;
  CHECK(request.strategy == "zero3-offload-optimizer");
  CHECK(request.pin_memory == false);
  CHECK(zero.reduce_bucket_size == 1);
  CHECK_FALSE(zero.contiguous_gradients);
  CHECK_FALSE(zero.reduce_scatter);
  CHECK(zero.round_robin_gradients);
  CHECK(zero.overlap_comm == false);
  CHECK(zero.sub_group_size == 0);
  CHECK(zero.prefetch_bucket_size == 3);
  CHECK(zero.persistence_threshold == 4);
  CHECK(zero.max_live_parameters == 5);
  CHECK(zero.max_reuse_distance == 6);
  CHECK(zero.optimizer_buffer_count == 7);
  CHECK(zero.pipeline_read);
  CHECK(zero.pipeline_write);
  CHECK(zero.ratio == 0.3);
  CHECK(zero.parameter_buffer_count == 8);
  CHECK(zero.parameter_buffer_size == 900'000'000);
  CHECK(zero.max_in_cpu == 10);
  CHECK(zero.grad_accum_type == DType::f32);
}

TEST_CASE("names of other releases") {
  const Request old = request_of_text(R"({"fp16": {"enabled": true}, "zero_optimization": {"stage": 3,
    "cpu_offload": true, "cpu_offload_params": true, "cpu_offload_use_pin_memory": false, "prefetch_bucket_size": 7,
    "param_persistence_threshold": 8, "max_live_parameters": 9, "max_reuse_distance": 10,
    "stage3_gather_fp16_weights_on_model_save": true}})");
  CHECK(old.strategy == "zero3-offload");
  CHECK(old.pin_memory == false);
  CHECK(old.precision == Precision::fp16_mixed);
  CHECK(old.zero.prefetch_bucket_size == 7);
  CHECK(old.zero.persistence_threshold == 8);
  CHECK(old.zero.max_live_parameters == 9);
  CHECK(old.zero.max_reuse_distance == 10);
  CHECK(old.zero.gather_16bit_weights_on_save);
  CHECK(old.warnings.empty());
  CHECK(request_of_text(R"({"zero_optimization": true, "bf16": {"enabled": true}})").strategy == "zero1");
}

TEST_CASE("precision follows the sections, the command line beats them") {
  constexpr std::string_view bare = R"({"zero_optimization": {"stage": 2}})";
  CHECK(request_of_text(bare).precision == Precision::fp32);
  CHECK(request_of_text(bare, {"--precision", "bf16"}).precision == Precision::bf16);
  CHECK(request_of_text(R"({"bf16": {"enabled": true}})").precision == Precision::bf16_mixed);
  CHECK(request_of_text(R"({"torch_autocast": {"enabled": true, "dtype": "bfloat16"}})").precision ==
        Precision::amp_bf16);
  CHECK(request_of_text(R"({"bf16": {"enabled": true, "bf16_master_weights_and_grads": true,
                                     "bf16_optimizer_states": true}})")
            .precision == Precision::bf16);
}

TEST_CASE("the command line beats the file, key by key") {
  const Request request = request_of_text(R"({"bf16": {"enabled": true}, "train_micro_batch_size_per_gpu": 4,
    "gradient_accumulation_steps": 2, "zero_optimization": {"stage": 3, "reduce_bucket_size": 5}})",
                                          {"--micro-batch", "1", "--strategy", "zero2"});
  CHECK(request.micro_batch == 1);
  CHECK(request.grad_accum == 2);
  CHECK(request.strategy == "zero2");
  CHECK(request.zero.reduce_bucket_size == 5);
  CHECK_THAT(refusal([] {
               request_of_text(R"({"bf16": {"enabled": true}})", {"--strategy", "fsdp"});
             }),
             Contains("a DeepSpeed file says nothing of fsdp (--strategy beside --deepspeed)"));
}

TEST_CASE("what DeepSpeed refuses is refused with the reason") {
  const std::vector<std::pair<std::string, std::string>> refusals = {
      {R"({"fp16": {"enabled": true}, "bf16": {"enabled": true}})", "bf16 and fp16 cannot both be enabled"},
      {R"({"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu", "ratio": 0.5}}})", "stage 3 only"},
      {R"({"zero_optimization": {"stage": 4}})", "no such ZeRO stage"},
      {R"({"zero_optimization": {"stage": 2}, "prescale_gradients": true})", "refuses to scale gradients beforehand"},
      {R"({"zero_optimization": {"stage": 2}, "gradient_predivide_factor": 2})", "gradient_predivide_factor"},
      {R"({"zero_optimization": {"stage": 2}, "optimizer": {"type": "SGD"}})", "refuses SGD under ZeRO"},
      {R"({"zero_optimization": {"stage": 3}, "optimizer": {"type": "Muon"}})", "refuses Muon with reduce_scatter"},
      {R"({"zero_optimization": {"stage": 1, "allgather_bucket_size": 3}})", "odd allgather_bucket_size"},
      {R"({"steps_per_print": 1, "steps_per_print": 2})", "stands twice"}};
  for (const auto& [text, reason] : refusals) {
    INFO(text);
    CHECK_THAT(refusal_of_text(text), Contains(reason));
  }
}

TEST_CASE("malformed files get one line that names file and key") {
  CHECK_THAT(refusal_of_text("{"), Contains("the file is no JSON"));
  CHECK_THAT(refusal_of_text("[]"), Contains("no JSON object"));
  CHECK_THAT(refusal_of_text(std::string(100, '[')), Contains("the file"));
  CHECK_THAT(refusal([] { request_of("no-such-file.json"); }),
             Contains("cannot read 'no-such-file.json': No such file or directory (--deepspeed)"));
  CHECK_THAT(refusal_of_text(R"({"zero_optimization": {"stage": 2, "reduce_bucket_size": 1.5}})"),
             Contains("zero_optimization.reduce_bucket_size); expected a whole number"));
  CHECK_THAT(refusal_of_text(R"({"zero_optimization": {"stage": 2, "reduce_bucket_size": -1}})"),
             Contains("-1 is no right value"));
  CHECK_THAT(refusal_of_text(R"({"zero_optimization": {"stage": 2, "reduce_bucket_size": 1e30}})"),
             Contains("expected a whole number"));
  CHECK_THAT(refusal_of_text(R"({"zero_optimization": {"stage": 3, "offload_param": {"device": "gpu"}}})"),
             Contains("unknown device 'gpu'"));
  CHECK_THAT(refusal_of_text(R"({"zero_optimization": 7})"), Contains("a section of settings"));
  CHECK_THAT(refusal_of_text(R"({"train_micro_batch_size_per_gpu": 0})"), Contains("0 is not positive"));
}

TEST_CASE("what is not simulated is named, and unknown keys too") {
  CHECK_THAT(
      warnings_of(R"({"bf16": {"enabled": true}, "zero_optimization": {"stage": 3, "zero_hpz_partition_size": 8}})"),
      Contains("zero_optimization.zero_hpz_partition_size: this setting is not simulated"));
  CHECK_THAT(
      warnings_of(R"({"bf16": {"enabled": true}, "zero_optimization": {"stage": 2, "reduce_buket_size": 8}})"),
      Contains("zero_optimization.reduce_buket_size: unknown key, ignored; the nearest known: reduce_bucket_size"));
  CHECK_THAT(warnings_of(R"({"bf16": {"enabled": true}, "amp": {"enabled": true}})"), Contains("amp: this section"));
  CHECK_THAT(warnings_of(R"({"bf16": {"enabled": true}, "activation_checkpointing": {"cpu_checkpointing": true}})"),
             Contains("--checkpointing does"));
  CHECK_THAT(warnings_of(R"({"bf16": {"enabled": true},
                             "zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}})"),
             Contains("stage 3 only"));
  CHECK(warnings_of(R"({"bf16": {"enabled": true}, "amp": {"enabled": false}, "zero_optimization": {"stage": 3,
                        "zero_hpz_partition_size": 1, "mics_shard_size": -1}})")
            .empty());
}

TEST_CASE("devices of offload, mixtures too") {
  const auto placed = [](const std::string& optimizer, const std::string& parameters, int stage = 3) {
    return request_of_text(R"({"bf16": {"enabled": true}, "zero_optimization": {"stage": )" + std::to_string(stage) +
                           R"(, "offload_optimizer": {"device": ")" + optimizer +
                           R"("}, "offload_param": {"device": ")" + parameters + R"("}}})");
  };
  CHECK(placed("none", "none").strategy == "zero3");
  CHECK(placed("none", "cpu").strategy == "zero3-offload-param");
  CHECK(placed("cpu", "none").strategy == "zero3-offload-optimizer");
  CHECK(placed("cpu", "cpu").strategy == "zero3-offload");
  CHECK(placed("nvme", "nvme").strategy == "zero3-nvme");
  CHECK(placed("cpu", "nvme").strategy == "zero3-nvme-param");
  CHECK(placed("cpu", "nvme").offload.optimizer);
  CHECK_FALSE(placed("none", "nvme").offload.optimizer);
  const Request mixed = placed("nvme", "cpu");
  CHECK(mixed.strategy == "zero3-nvme-optimizer");
  CHECK(mixed.offload.parameters);
  CHECK_FALSE(mixed.offload.parameters_on_nvme);
  const Request two = placed("nvme", "none", 2);
  CHECK(two.strategy == "zero2-offload-optimizer");
  REQUIRE(two.warnings.size() == 1);
  CHECK_THAT(two.warnings[0], Contains("stage 3 only"));
}
