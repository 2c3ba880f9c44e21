// How long, how much energy and how much money the whole run takes, by hand.
#include "catch.hpp"
#include "report/sample.hpp"
#include "request/contains.hpp"
#include "sim/report/run.hpp"

using namespace shardsim;

namespace {

Topology two_gpus() {
  Topology topology;
  topology.devices = {{Device{}}, 2};
  topology.devices.alter([](Device& device) { device.spec.power_watts = 400; });
  topology.host_power_watts = 200;
  return topology;
}

// A step of 2 s and 8192 tokens: 8 sequences of 1024.
Request request_of(std::optional<std::int64_t> tokens, std::optional<std::int64_t> examples,
                   std::optional<double> epochs) {
  Request request;
  request.seq_len = 1024;
  request.tokens = tokens;
  request.examples = examples;
  request.epochs = epochs;
  return request;
}

RunReport run_of(const Request& request) {
  std::vector<std::string> assumptions;
  const std::optional<RunReport> run = whole_run(request, two_gpus(), sample_report().step, assumptions);
  REQUIRE(run);
  CHECK(assumptions.size() == 1);
  return *run;
}

}  // namespace

TEST_CASE("a run without a length is none") {
  std::vector<std::string> assumptions;
  CHECK_FALSE(whole_run(request_of({}, {}, {}), two_gpus(), sample_report().step, assumptions));
  CHECK(assumptions.empty());
}

TEST_CASE("steps are whole, an epoch ends with its own") {
  CHECK(run_of(request_of(8192, {}, {})).steps == 1);
  CHECK(run_of(request_of(8193, {}, {})).steps == 2);
  CHECK(run_of(request_of(8192, {}, 3)).steps == 3);
  CHECK(run_of(request_of({}, 10'000, {})).steps == 1250);
  CHECK(run_of(request_of({}, 10'001, 2)).steps == 2502);
  CHECK(run_of(request_of({}, 10'000, 0.5)).steps == 625);
}

TEST_CASE("hours, energy and cost") {
  Request request = request_of({}, 14'400, {});
  const RunReport free = run_of(request);
  // 1800 steps of 2 s; 2 x 400 W and 200 W of host for an hour.
  CHECK(free.steps == 1800);
  CHECK(free.tokens == 1800 * 8192);
  CHECK(free.hours == Approx(1));
  CHECK(free.gpu_hours == Approx(2));
  CHECK(free.energy_kWh == Approx(1));
  CHECK_FALSE(free.cost_usd);
  request.price = 3.5;
  CHECK(run_of(request).cost_usd == Approx(3.5));
}

TEST_CASE("a host whose power nobody says draws 80 % of its boards'") {
  Topology topology = two_gpus();
  CHECK_FALSE(assumes_host_power(topology));
  CHECK(power_of(topology) == Approx(2 * 400 + 200));
  topology.host_power_watts = 0;
  CHECK(assumes_host_power(topology));
  CHECK(power_of(topology) == Approx(1.8 * 2 * 400));
}

TEST_CASE("every format says it") {
  Report report = sample_report();
  report.run = RunReport{1800, 14'745'600, 1, 2, 1, {}};
  CHECK_THAT(render_text(report, false), Contains("Whole run of 1 800 steps, 15 M tokens"));
  CHECK_THAT(render_text(report, false), Contains("unknown: --price"));
  CHECK_THAT(render_markdown(report), Contains("| 1 800 | 15 M | 1.0 h | 2.00 | 1.00 | unknown"));
  CHECK_THAT(render_csv(report), Contains("run_steps,run_hours,run_gpu_hours,run_energy_kWh,run_cost_usd"));
  CHECK_THAT(render_csv(report), Contains("1800,1,2,1,\n"));
  CHECK_THAT(render_json(report), Contains("\"steps\": 1800"));
  CHECK_THAT(render_json(report), Contains("\"cost_usd\": null"));
}
