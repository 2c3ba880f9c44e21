// Requests of any size: one clear refusal, or a report in which no number wrapped.
#include <rapidcheck.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "../plan/scenario.hpp"
#include "catch.hpp"
#include "model/core/error.hpp"
#include "sim/plan/strategies/strategies.hpp"

using namespace shardsim;

namespace {

__extension__ using Wide = __int128;

/// From 1 up, as often of one order of magnitude as of another.
std::int64_t any_size(int digits) {
  const int power = *rc::gen::inRange(0, digits + 1);
  const double factor = *rc::gen::inRange(10, 100) / 10.0;
  return static_cast<std::int64_t>(std::pow(10.0, power) * (power == 0 ? 1 : factor));
}

Dimensions any_dimensions() {
  Dimensions d;
  d.family = *rc::gen::element(Family::llama, Family::qwen2, Family::mixtral);
  d.kv_heads = any_size(3);
  d.heads = d.kv_heads * any_size(2);
  d.head_dim = 2 * any_size(3);
  d.hidden = any_size(6);
  d.ffn = any_size(7);
  d.layers = *rc::gen::inRange<std::int64_t>(1, 4);
  d.vocab = any_size(8);
  d.max_positions = 4096;
  d.embedding_dim = d.hidden;
  d.rotary_dim = d.head_dim;
  d.tied_embeddings = *rc::gen::arbitrary<bool>();
  d.attention_bias = d.family == Family::qwen2;
  if (d.family == Family::mixtral) {
    const std::int64_t count = *rc::gen::inRange<std::int64_t>(1, 100);
    d.experts = Experts{.count = count, .per_token = *rc::gen::inRange<std::int64_t>(1, count + 1), .ffn = d.ffn};
    d.layer_is_moe.assign(static_cast<std::size_t>(d.layers), true);
  }
  return d;
}

std::vector<std::string> any_words() {
  const auto of = [](std::initializer_list<std::string> names) {
    return *rc::gen::elementOf(std::vector<std::string>(names));
  };
  std::vector<std::string> words = {"--topology",
                                    of({"1xA100", "4xA100", "8xRTX-4090", "2x8xH100", "2048x8xH100"}),
                                    "--strategy",
                                    of({"single", "ddp", "zero1", "zero2", "zero3", "fsdp", "fsdp1", "hsdp",
                                        "zero2-offload", "zero3-offload", "zero3-nvme", "fsdp-offload", "device-map"}),
                                    "--precision",
                                    of({"bf16-mixed", "fp16-mixed", "bf16", "fp32"}),
                                    "--attention",
                                    of({"flash", "sdpa", "eager"}),
                                    "--loss",
                                    of({"eager", "plain", "fused"}),
                                    "--checkpointing",
                                    of({"none", "full"}),
                                    "--optimizer",
                                    of({"adamw", "adamw-8bit", "paged-adamw", "adafactor", "lion", "sgd"}),
                                    "--seq-len",
                                    std::to_string(any_size(10)),
                                    "--micro-batch",
                                    std::to_string(any_size(10)),
                                    "--grad-accum",
                                    of({"1", "2", "3", "1e9", "1e18"}),
                                    "--host-memory",
                                    std::to_string(any_size(15)) + " kB",
                                    "--price",
                                    std::to_string(any_size(14))};
  const auto add = [&](const char* option, const std::string& value) {
    if (*rc::gen::arbitrary<bool>()) words.insert(words.end(), {option, value});
  };
  add("--tokens", std::to_string(any_size(17)));
  add("--nvme", std::to_string(any_size(15)) + " kB");
  if (*rc::gen::arbitrary<bool>())
    words.insert(words.end(), {"--peft", "lora", "--lora-rank", std::to_string(any_size(7))});
  return words;
}

/// Each number of the page, at any depth. A missing one (null) is fine; what was not finite would be missing, too.
void check_numbers(const nlohmann::json& value) {
  if (value.is_structured()) {
    for (const nlohmann::json& part : value) check_numbers(part);
  } else if (value.is_number()) {
    RC_ASSERT(std::isfinite(value.get<double>()));
    RC_ASSERT(value.get<double>() >= 0);
  }
}

void check_sums(const Report& report) {
  const auto sum = [](const Breakdown& parts) {
    return std::accumulate(parts.begin(), parts.end(), Wide{0},
                           [](Wide all, const auto& part) { return all + part.second; });
  };
  for (const DeviceReport& device : report.devices) {
    RC_ASSERT(sum(device.at_peak) == device.peak_allocated_bytes);
    RC_ASSERT(device.peak_reserved_bytes >= device.peak_allocated_bytes);
    RC_ASSERT(device.peak_used_bytes >= device.peak_reserved_bytes);
    RC_ASSERT(device.fits == (device.peak_used_bytes <= device.capacity_bytes));
  }
  for (const HostReport& host : report.hosts) RC_ASSERT(sum(host.at_peak) == host.peak_bytes);
  const StepReport& step = report.step;
  const double parts =
      step.compute_s + step.exposed_communication_s + step.exposed_transfer_s + step.optimizer_s + step.idle_s;
  RC_ASSERT(std::abs(parts - step.time_s) <= 1e-9 * step.time_s);
  RC_ASSERT(std::isfinite(step.time_s) && std::isfinite(step.tokens_per_s) && std::isfinite(step.model_flops));
  const Request& asked = report.request;
  RC_ASSERT(Wide{step.tokens} == Wide{asked.seq_len} * asked.micro_batch * asked.grad_accum * report.ranks);
  RC_ASSERT(report.run.has_value() == asked.tokens.has_value());
  if (!report.run) return;
  RC_ASSERT(Wide{report.run->tokens} == Wide{report.run->steps} * step.tokens);
  RC_ASSERT(report.run->tokens >= *asked.tokens);
  RC_ASSERT(std::isfinite(report.run->hours) && std::isfinite(report.run->energy_kWh));
  RC_ASSERT(report.run->cost_usd.has_value() && std::isfinite(*report.run->cost_usd));
}

/// What no plan can be below: the weights of a model that one device holds whole.
void check_weights(const Report& report, const Architecture& architecture) {
  if (report.request.kind != StrategyKind::single || report.request.peft.any()) return;
  Wide bytes = 0;
  for (const Parameter& parameter : architecture.parameters) {
    Wide numel = 1;
    for (const std::int64_t extent : parameter.shape) numel *= extent;
    bytes += numel * size_of(weight_type(report.request.precision));
  }
  RC_ASSERT(Wide{report.devices.front().peak_allocated_bytes} >= bytes);
}

}  // namespace

TEST_CASE("A request of any size is refused, or its report is finite, never negative and sums up") {
  int answered = 0;
  const auto law = [&] {
    const Dimensions dims = any_dimensions();
    const std::vector<std::string> words = any_words();
    try {
      const Request request = parse_request(words);
      const Architecture architecture = build_architecture(dims, "any");
      const Report report =
          simulate(request, {load_topology(request.topology, {.host_memory = request.host_memory, .nvme = request.nvme},
                                           test::data().topologies),
                             architecture});
      ++answered;
      check_sums(report);
      check_weights(report, architecture);
      const nlohmann::json page = nlohmann::json::parse(render_json(report));
      check_numbers(page);
      RC_ASSERT(!page["step"]["time_s"].is_null());
    } catch (const InputError&) {
      return;  // any other exception fails
    }
  };
  CHECK(rc::check("a refusal or a report that sums up", law));
  CHECK(answered > 20);
}

TEST_CASE("Sizes that a large run could have are counted, not refused") {
  Dimensions d;
  d.heads = 1024, d.kv_heads = 128, d.head_dim = 128, d.hidden = 131'072, d.ffn = 524'288, d.layers = 350;
  d.vocab = 256'000, d.embedding_dim = d.hidden, d.rotary_dim = d.head_dim, d.max_positions = 1'000'000;
  const Architecture model = build_architecture(d, "100T");
  CHECK(model.parameter_count() > 80'000'000'000'000);
  const Request request = parse_request({"--topology", "2048x8xH100", "--strategy", "zero3", "--seq-len", "1000000",
                                         "--tokens", "1e18", "--checkpointing", "full", "--price", "100000"});
  const Report report = simulate(request, {load_topology(request.topology, {}, test::data().topologies), model});
  CHECK(report.step.tokens == 16'384'000'000);
  CHECK(report.model.parameters == model.parameter_count());
  REQUIRE(report.run);
  CHECK(report.run->steps == 61'035'157);  // 1e18 / 16 384 000 000, rounded up
  CHECK_FALSE(report.fits);
  check_numbers(nlohmann::json::parse(render_json(report)));
}
