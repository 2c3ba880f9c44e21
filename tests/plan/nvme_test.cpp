// ZeRO-Infinity for Llama-3-8B (8 030 261 248 parameters) on eight A100: bytes by hand from DeepSpeed's
// swap_tensor/ and stage3.py. A step reads master, two moments and gradient (16 B a parameter), and writes the gradient
// in backward and the three states after their update (16 B); parameters cross 2 B at a time.
#include "../request/contains.hpp"
#include "../request/refusal.hpp"
#include "catch.hpp"
#include "scenario.hpp"
#include "sim/report/report.hpp"

using namespace shardsim;

namespace {

constexpr double parameters = 8'030'261'248;

Report report(const std::string& strategy, const std::string& machine = "dgx-a100") {
  return simulate(
      test::request({"--topology", machine, "--strategy", strategy, "--model", "llama-3-8b", "--seq-len", "128"}),
      test::data());
}

/// The step's time with one setting changed; nine sub-groups of 1e9 elements.
double step_time(const std::function<void(ZeroOptions&)>& change) {
  Request request = test::request(
      {"--topology", "dgx-a100", "--strategy", "zero3-nvme-optimizer", "--model", "llama-3-70b", "--seq-len", "128"});
  request.zero.optimizer_buffer_count = 8;
  change(request.zero);
  return simulate(request, test::data()).step.time_s;
}

}  // namespace

TEST_CASE("The optimizer on drives: bytes read, written and held") {
  const Report seen = report("zero3-nvme-optimizer");
  REQUIRE(seen.storage.size() == 1);
  CHECK(static_cast<double>(seen.storage.front().read_bytes) == Approx(16 * parameters).epsilon(1e-3));
  CHECK(static_cast<double>(seen.storage.front().written_bytes) == Approx(16 * parameters).epsilon(1e-3));
  CHECK(static_cast<double>(seen.storage.front().peak_bytes) == Approx(16 * parameters).epsilon(1e-3));
}

TEST_CASE("Swap buffers can take more host memory than the states they stand for") {
  // Four buffers of the largest sub-group (all matrices: 1.004e9 elements a rank) in fp32, exact, not a power of two.
  const Report seen = report("zero3-nvme-optimizer");
  const double buffers = 8 * 4 * 4 * (parameters / 8);
  const double gradients = 8 * 2147483648.0;  // 2P/8 in pinned memory, rounded up
  const double staged = 2 * parameters;       // the new weights, cast on the CPU, on their way to the device
  CHECK(static_cast<double>(seen.hosts.front().pinned_bytes) >= gradients);
  CHECK(static_cast<double>(seen.hosts.front().phases[2].peak_bytes) ==
        Approx(buffers + gradients + staged).epsilon(0.01));
}

TEST_CASE("Parameters on drives are read in forward and in backward, and written after the step") {
  const Report optimizer = report("zero3-nvme-optimizer");
  const Report both = report("zero3-nvme");
  const auto more = [&](auto member) {
    return static_cast<double>(both.storage.front().*member - optimizer.storage.front().*member);
  };
  CHECK(more(&StorageReport::written_bytes) == Approx(2 * parameters).epsilon(1e-3));
  // Twice, less what stays gathered from forward to backward.
  CHECK(more(&StorageReport::read_bytes) <= 4 * parameters);
  CHECK(more(&StorageReport::read_bytes) >= 3 * parameters);
  CHECK(both.devices.front().phases[2].peak_allocated_bytes < optimizer.devices.front().phases[2].peak_allocated_bytes);
}

TEST_CASE("A step takes at least as long as its drives") {
  const Report seen = report("zero3-nvme");
  double read = 0;
  for (const Link& link : load_topology("dgx-a100", {}, test::data().topologies).links) {
    if (link.kind == LinkKind::nvme) read += link.effective().bytes_per_second;
  }
  CHECK(seen.step.time_s >= static_cast<double>(seen.storage.front().read_bytes) / read);
  CHECK(seen.step.time_s > report("zero3-offload").step.time_s);
  CHECK_THAT(seen.bottleneck.resource, Contains("nvme"));
}

TEST_CASE("Pipelined reads and writes hide behind the CPU's update") {
  const double serial = step_time([](ZeroOptions&) {});
  const double read = step_time([](ZeroOptions& zero) { zero.pipeline_read = true; });
  const double both = step_time([](ZeroOptions& zero) { zero.pipeline_read = zero.pipeline_write = true; });
  CHECK(read < serial);
  CHECK(both < read);
}

TEST_CASE("Partitions within max_in_cpu stay in host memory") {
  Request request = test::request(
      {"--topology", "dgx-a100", "--strategy", "zero3-nvme-param", "--model", "llama-3-8b", "--seq-len", "128"});
  request.zero.max_in_cpu = 2'000'000'000;
  const Report seen = simulate(request, test::data());
  CHECK(seen.storage.empty());
}

TEST_CASE("Folded as unfolded, and a steady step frees what it takes") {
  for (const std::string strategy : {"zero3-nvme", "zero3-nvme-optimizer", "zero3-nvme-param"}) {
    INFO(strategy);
    const std::vector<std::string> words{"--topology", "2x8xA100",    "--strategy", strategy,
                                         "--model",    "gpt2-medium", "--seq-len",  "128"};
    const auto planned = test::plan(words, Folding::on);
    const Outcome few = run(planned.run.plan);
    const Outcome all = run(test::plan(words, Folding::off).run.plan);
    CHECK(few.step_time == all.step_time);
    std::int64_t live = 0;
    std::map<std::uint16_t, std::int64_t> at_end;
    test::replay(planned.run.plan, planned.run.plan.programs.front(), [&](const test::Live& seen, const Mark& mark) {
      live = seen.total([](std::string_view) { return true; });
      at_end[mark.step] = live;
    });
    CHECK(at_end[0] == at_end[1]);
  }
}

TEST_CASE("What cannot be swapped is refused") {
  const auto refused = [](const std::vector<std::string>& words) { return refusal([&] { test::plan(words); }); };
  CHECK_THAT(refused({"--topology", "1xL4", "--strategy", "zero3-nvme", "--model", "gpt2"}), Contains("no drives"));
  Request request = test::request({"--topology", "dgx-a100", "--strategy", "zero3-nvme", "--model", "llama-3-8b"});
  request.zero.pipeline_read = true;
  CHECK_THAT(refusal([&] { simulate(request, test::data()); }), Contains("buffer_count") && Contains("at least 8"));
  request.zero.pipeline_read = false;
  request.zero.parameter_buffer_size = 1000;
  CHECK_THAT(refusal([&] { simulate(request, test::data()); }), Contains("buffer_size"));
}
