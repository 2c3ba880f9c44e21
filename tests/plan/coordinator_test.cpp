// ZeRO-3's coordinator over real module trees, against the counters that DeepSpeed's own
// partitioned_param_coordinator.py gives when run over the same modules.
#include "sim/plan/parameter_coordinator.hpp"

#include <array>

#include "catch.hpp"
#include "scenario.hpp"
#include "sim/plan/autograd.hpp"
#include "sim/plan/strategy.hpp"

using namespace shardsim;

namespace {

struct Counters {
  std::int64_t live_max = 0, tail = 0, gathers = 0;
  std::array<std::int64_t, 2> elements{};  ///< forward, backward
};

class Counting : public Strategy {
 public:
  Counting(const Architecture& architecture, Recorder& recorder, const CoordinatorConfig& config)
      : architecture_(architecture),
        recorder_(recorder),
        coordinator_(
            architecture, config,
            {[this](ParameterCoordinator::Parameters p) { count(p); }, [](ParameterId) {}, [](ParameterId) {}, [] {}}) {
  }
  void initialise() override {}
  void begin_forward(std::int64_t, bool) override {
    now = {};
    in_backward_ = false;
    coordinator_.begin_micro_step();
  }
  void pre_forward(ModuleId m) override { coordinator_.fetch(m); }
  void post_forward(ModuleId m) override { coordinator_.release(m); }
  void begin_backward() override {
    in_backward_ = true;
    now.tail = coordinator_.live_elements();
  }
  void pre_backward(ModuleId m) override { coordinator_.fetch(m); }
  void post_backward(ModuleId m) override { coordinator_.release(m); }
  void gradient_ready(ParameterId, TensorId gradient) override { recorder_.release(gradient); }
  void optimizer_step() override {
    coordinator_.release_all();
    coordinator_.mark_persistent_available();
  }
  Counters now;

 private:
  void count(ParameterCoordinator::Parameters parameters) {
    ++now.gathers;
    for (const ParameterId p : parameters) now.elements[in_backward_ ? 1 : 0] += architecture_.parameter(p).numel;
    now.live_max = std::max(now.live_max, coordinator_.live_elements());
  }
  const Architecture& architecture_;
  Recorder& recorder_;
  ParameterCoordinator coordinator_;
  bool in_backward_ = false;
};

std::array<Counters, 3> micro_steps(const std::string& model, const CoordinatorConfig& config,
                                    Checkpointing checkpointing) {
  const Architecture architecture = load_architecture(model, test::data().zoo);
  GraphOptions options;
  options.seq_len = 16;
  const Graph graph = build_graph(architecture, options);
  const Topology topology = load_topology("8xH100", {}, test::data().topologies);
  const Fold fold = fold_devices(topology, std::vector<std::uint64_t>(8, 0));
  Plan plan;
  Cluster cluster(topology, fold, process_groups(topology, false), plan);
  Recorder recorder(cluster, DeviceClassId(0), plan);
  Counting strategy(architecture, recorder, config);
  Request request;
  request.checkpointing = checkpointing;
  const Recomputation recomputation = plan_recomputation(request, architecture, graph);
  Autograd autograd(architecture, graph, recomputation, DType::bf16, recorder, strategy);
  std::array<Counters, 3> result;
  for (Counters& counters : result) {
    strategy.begin_forward(0, true);
    autograd.forward();
    autograd.backward();
    counters = strategy.now;
    strategy.optimizer_step();
  }
  return result;
}

std::string billions(std::int64_t elements) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3f", static_cast<double>(elements) / 1e9);
  return text.data();
}

struct Expected {
  const char* live_max;
  const char* tail;
  std::int64_t gathers;
  const char* forward;
  const char* backward;
};

void check(const Counters& seen, const Expected& expected) {
  CHECK(billions(seen.live_max) == expected.live_max);
  CHECK(billions(seen.tail) == expected.tail);
  CHECK(seen.gathers == expected.gathers);
  CHECK(billions(seen.elements[0]) == expected.forward);
  CHECK(billions(seen.elements[1]) == expected.backward);
}

}  // namespace

TEST_CASE("Llama-3-8B at DeepSpeed's defaults") {
  const auto steps = micro_steps("llama-3-8b", {}, Checkpointing::none);
  check(steps[0], {"0.525", "0.000", 582, "8.030", "8.030"});
  check(steps[1], {"1.515", "1.020", 242, "8.089", "7.010"});
  check(steps[2], {"1.515", "1.020", 242, "8.089", "7.010"});
}

TEST_CASE("Llama-3-8B with checkpointing: one backward gather serves recomputation too") {
  const auto steps = micro_steps("llama-3-8b", {}, Checkpointing::full);
  check(steps[0], {"0.525", "0.000", 870, "8.030", "15.010"});
  check(steps[2], {"1.515", "1.003", 243, "8.072", "7.027"});
}

TEST_CASE("Hugging Face's auto values change the buckets, not what is live") {
  CoordinatorConfig config;
  config.prefetch_bucket = 15'099'494;  // 0.9 h^2
  config.persistence_threshold = 40'960;
  const auto steps = micro_steps("llama-3-8b", config, Checkpointing::none);
  check(steps[0], {"0.525", "0.000", 582, "8.030", "8.030"});
  check(steps[2], {"1.515", "1.020", 313, "8.089", "7.010"});
}

TEST_CASE("Without reuse distance the tail stays: the prefetch keeps it") {
  CoordinatorConfig config;
  config.max_reuse_distance = 0;
  check(micro_steps("llama-3-8b", config, Checkpointing::none)[2], {"1.515", "1.020", 242, "8.089", "7.010"});
}

TEST_CASE("A small live limit bounds the look-ahead, but a needed lm_head ignores it") {
  CoordinatorConfig config;
  config.max_live_parameters = config.max_reuse_distance = 100'000'000;
  check(micro_steps("llama-3-8b", config, Checkpointing::none)[2], {"0.584", "0.525", 258, "8.030", "7.505"});
}

TEST_CASE("Llama-3-70B with checkpointing") {
  const auto steps = micro_steps("llama-3-70b", {}, Checkpointing::full);
  check(steps[0], {"1.051", "0.000", 2166, "70.554", "139.006"});
  check(steps[2], {"1.990", "1.051", 959, "70.552", "69.502"});
}

TEST_CASE("Llama-2-7B") {
  const auto steps = micro_steps("llama-2-7b", {}, Checkpointing::none);
  check(steps[0], {"0.131", "0.000", 582, "6.738", "6.738"});
  check(steps[2], {"1.126", "1.031", 395, "6.783", "5.707"});
}

TEST_CASE("The plan issues the gathers that the coordinator decides") {
  const auto planned =
      test::plan({"--topology", "8xH100", "--strategy", "zero3", "--model", "llama-3-8b", "--seq-len", "128"});
  const Program& program = planned.run.plan.programs.front();
  std::array<std::int64_t, 2> gathers{};
  for (const Task& task : program.tasks) {
    if (planned.run.plan.labels[task.label.index()] == "all-gather") ++gathers[task.step];
  }
  CHECK(gathers[0] == 582);
  CHECK(gathers[1] == 242);
}
