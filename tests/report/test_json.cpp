// Is the JSON what the contract says, to the key?
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "report/sample.hpp"

using namespace shardsim;
using Json = nlohmann::ordered_json;

namespace {

using Keys = std::vector<std::string>;

/// The first `count` keys: those of the contract, in its order; later ones are additions.
Keys first_keys(const Json& object, std::size_t count) {
  Keys keys;
  for (const auto& [key, value] : object.items()) {
    if (keys.size() < count) keys.push_back(key);
  }
  return keys;
}
void check_keys(const Json& object, const Keys& contract) { CHECK(first_keys(object, contract.size()) == contract); }

Json json_of(const Report& report) { return Json::parse(render_json(report)); }

}  // namespace

TEST_CASE("the keys are the contract's, in its order") {
  Report report = sample_report();
  report.storage.push_back({"nvme0", 4'000'000'000'000, 1, 2, 3});
  const Json json = json_of(report);
  const Keys top = {"schema", "request", "fits",       "model", "devices", "hosts",   "storage",
                    "step",   "links",   "bottleneck", "run",   "save",    "verdict", "warnings"};
  CHECK(first_keys(json, 99) == top);
  CHECK(json["schema"] == "shardsim.report/1");
  check_keys(json["model"], {"parameters", "trainable_parameters", "layers", "flops_per_token"});
  check_keys(json["devices"][0],
             {"id", "count", "name", "capacity_bytes", "peak_allocated_bytes", "peak_reserved_bytes", "peak_used_bytes",
              "fits", "at_peak", "peak_time_s", "peak_at"});
  check_keys(json["hosts"][0], {"id", "capacity_bytes", "peak_bytes", "pinned_bytes", "at_peak", "fits"});
  check_keys(json["storage"][0], {"id", "capacity_bytes", "peak_bytes", "read_bytes", "written_bytes"});
  check_keys(json["step"], {"time_s", "tokens", "tokens_per_s", "tokens_per_s_per_gpu", "model_flops", "mfu", "hfu",
                            "compute_s", "exposed_communication_s", "exposed_transfer_s", "optimizer_s", "idle_s"});
  check_keys(json["links"][0], {"id", "kind", "bandwidth_Bps", "bytes", "busy_s", "utilization"});
  check_keys(json["bottleneck"], {"resource", "share_of_step", "why"});
}

TEST_CASE("figures arrive unharmed: bytes as integers, sums exact") {
  const Json json = json_of(sample_report());
  CHECK(json["fits"] == true);
  CHECK(json["devices"].size() == 2);
  for (const Json& device : json["devices"]) {
    std::int64_t sum = 0;
    for (const auto& [category, bytes] : device["at_peak"].items()) {
      REQUIRE(bytes.is_number_integer());
      sum += bytes.get<std::int64_t>();
    }
    CHECK(sum == device["peak_allocated_bytes"].get<std::int64_t>());
    CHECK(device["peak_used_bytes"] == 53 * gibibyte);
    CHECK(device["at_peak"]["gradients"] == 0);
  }
  const Json& step = json["step"];
  double parts = 0;
  for (const char* part : {"compute_s", "exposed_communication_s", "exposed_transfer_s", "optimizer_s", "idle_s"}) {
    parts += step[part].get<double>();
  }
  CHECK(parts == step["time_s"].get<double>());
  CHECK(json["links"][0]["bytes"] == 60'000'000'000);
  CHECK(json["devices"][0]["largest"] == Json::parse(R"([{"name": "logits", "bytes": 2147483648}])"));
}

TEST_CASE("what does not apply is null, what there is none of is empty") {
  const Json json = json_of(sample_report());
  CHECK(json["run"].is_null());
  CHECK(json["save"].is_null());
  CHECK(json["storage"] == Json::array());
  CHECK(json["warnings"] == Json::array());
  CHECK(json["request"]["reduce-dtype"].is_null());
  CHECK(json["request"]["price"].is_null());
}

TEST_CASE("the request is echoed with the facts that were used") {
  Report report = sample_report();
  report.request.reduce_dtype = DType::f32;
  report.request.host_memory = Bytes(512'000'000'000);
  const Json request = json_of(report)["request"];
  CHECK(request["topology"] == "2xA100");
  CHECK(request["topology_name"] == "2xA100-SXM4-80GB");
  CHECK(request["device_name"] == "A100-SXM4-80GB");
  CHECK(request["nodes"] == 1);
  CHECK(request["ranks"] == 2);
  CHECK(request["strategy"] == "zero2");
  CHECK(request["seq-len"] == 4096);
  CHECK(request["precision"] == "bf16-mixed");
  CHECK(request["optimizer"] == "adamw");
  CHECK(request["reduce-dtype"] == "fp32");
  CHECK(request["host-memory"] == 512'000'000'000);
  CHECK(request["assumptions"] == Json::array({"A100 is taken as A100-SXM4-80GB"}));
}

TEST_CASE("how the result is shown does not change its bytes") {
  Report other = sample_report();
  other.request.threads = 7;
  other.request.verbosity = 1;
  other.request.color = false;
  other.request.output = "elsewhere.json";
  CHECK(render_json(other) == render_json(sample_report()));
}

TEST_CASE("at most 64 links are listed: the busiest, in the order given") {
  Report report = sample_report();
  report.links.clear();
  for (int i = 0; i < 100; ++i) report.links.push_back({"link" + std::to_string(i), "pcie", 1, 1e9, 1, 0.1, i * 0.01});
  const Json links = json_of(report)["links"];
  REQUIRE(links.size() == 64);
  CHECK(links.front()["id"] == "link36");
  CHECK(links.back()["id"] == "link99");
}

TEST_CASE("a name that is no UTF-8 is shown, not a fault") {
  Report report = sample_report();
  report.request.model = "caf\xE9/config.json";
  CHECK(json_of(report)["request"]["model"] == "caf\xEF\xBF\xBD/config.json");
}
