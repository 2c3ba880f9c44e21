// What DeepSpeed itself did with the tiny models in recorded/: engines of DeepSpeed 0.19.8 (torch 2.13.0, transformers
// 4.57.1) on CPU over gloo, 21 November 2026; third optimizer step, rank 0, bf16 unless said, torch.optim.AdamW.
// Tensors were found by scanning Python's objects, collectives by wrapping torch.distributed. Its runs had one
// parameter group where nothing else is said; the plan has the two of the Hugging Face Trainer, which cuts partitions
// elsewhere.
#include <algorithm>
#include <cmath>

#include "catch.hpp"
#include "scenario.hpp"

using namespace shardsim;

namespace {

class Run {
 public:
  Run(const std::string& model, const std::string& topology, const std::string& strategy, const ZeroOptions& zero,
      const std::vector<std::string>& more = {}) {
    const std::string config = std::string(SHARDSIM_SOURCE) + "/tests/plan/recorded/" + model + ".json";
    std::vector<std::string> words{"--topology", topology, "--strategy", strategy,
                                   "--model",    config,   "--seq-len",  "32"};
    words.insert(words.end(), more.begin(), more.end());
    test::Planned planned{test::request(words), {}, {}};
    planned.request.zero = zero;
    planned.scenario = load_scenario(planned.request, test::data());
    planned.request = with_runtime_defaults(planned.request, planned.scenario.topology, planned.scenario.architecture,
                                            planned.scenario.topology.assumptions);
    plan_ = make_plan(planned.request, planned.scenario.topology, planned.scenario.architecture, Folding::on).plan;
    ranks_ = static_cast<std::int64_t>(planned.scenario.topology.devices.size());
    test::replay(plan_, plan_.programs.front(), [&](const test::Live& live, const Mark&) {
      for (const auto& [label, bytes] : live.by_label) most_[label] = std::max(most_[label], bytes);
      last_ = live;
    });
  }

  std::int64_t resident(const std::string& label) const {
    return last_.by_label.count(label) != 0 ? last_.by_label.at(label) : 0;
  }
  /// Everything that stays between steps, on the device and the host.
  std::int64_t resident() const {
    return last_.total([](std::string_view label) { return label != "cublas workspace" && label != "model buffers"; });
  }
  std::int64_t most(const std::string& label) const { return most_.count(label) != 0 ? most_.at(label) : 0; }
  /// Bytes of each allocation of a label, on the device or in host memory.
  std::vector<std::int64_t> allocations(std::string_view label, bool device) const {
    std::vector<std::int64_t> bytes;
    for (const Tensor& tensor : plan_.programs.front().tensors) {
      const bool there = (tensor.pool == Pool::device) == device;
      if (there && plan_.labels[tensor.label.index()] == label) bytes.push_back(tensor.bytes);
    }
    return bytes;
  }

  /// The steady step's collectives of forward and backward are these, in this order: elements gathered, or reduced with
  /// a minus sign.
  void check_collectives(const std::vector<std::int64_t>& expected) const {
    std::vector<std::int64_t> seen;
    for (const Task& task : plan_.programs.front().tasks) {
      if (task.kind != TaskKind::collective || task.step != 1 || task.phase == Phase::optimizer) continue;
      const std::string& label = plan_.labels[task.label.index()];
      const double passes = label == "all-reduce gradients" ? 2 : 1;
      const double sent = plan_.transfers[task.transfer.index()].bytes;
      const double elements = sent / 2 / passes * static_cast<double>(ranks_) / static_cast<double>(ranks_ - 1);
      const std::int64_t next = seen.size() < expected.size() ? expected[seen.size()] : 0;
      seen.push_back((label == "all-gather" ? 1 : -1) * payload(elements, std::llabs(next)));
    }
    CHECK(seen == expected);
  }

 private:
  /// NCCL's protocols LL and LL128 send flags beside the data (collective_time.hpp).
  static std::int64_t payload(double sent, std::int64_t expected) {
    for (const double overhead : {1.0, 2.0, 1 / 0.92}) {
      if (std::llround(sent / overhead) == expected) return expected;
    }
    return std::llround(sent);
  }

  Plan plan_;
  std::int64_t ranks_ = 0;
  std::map<std::string, std::int64_t> most_;
  test::Live last_;
};

constexpr std::int64_t parameters = 3'676'416;  // of tiny-llama

}  // namespace

TEST_CASE("What stays between steps is what DeepSpeed keeps, to the byte") {
  // Recorded totals, less the Adam step counters, the model's buffers and the loss (under a kilobyte).
  CHECK(Run("tiny-llama", "2xH100", "zero1", {}).resident() == 29'411'328);
  CHECK(Run("tiny-llama", "2xH100", "zero2", {}).resident() == 29'411'328);
  CHECK(Run("tiny-llama", "2xH100", "zero3", {}).resident() == 1'031'513'088);
  CHECK(Run("tiny-llama", "2xH100", "zero2-offload", {}).resident() == 41'464'576);
  CHECK(Run("tiny-llama", "2xH100", "zero3-offload-optimizer", {}).resident() == 1'038'865'920);
  CHECK(Run("tiny-llama", "2xH100", "zero3-offload", {}, {"--grad-accum", "3"}).resident() == 1'038'865'920);
  CHECK(Run("tiny-llama", "1xH100", "zero1", {}).resident() == 51'469'824);
  CHECK(Run("tiny-llama", "1xH100", "zero3", {}).resident() == 1'058'822'656);
  CHECK(Run("tiny-mixtral", "2xH100", "zero3", {}).resident() == 1'047'791'616);
}

TEST_CASE("fp32 has a master of its own in every stage") {
  const std::vector<std::string> fp32{"--precision", "fp32"};
  CHECK(Run("tiny-llama", "2xH100", "zero2", {}, fp32).resident() == 36'764'160);
  CHECK(Run("tiny-llama", "2xH100", "zero3", {}, fp32).resident() == 2'040'967'680);
  CHECK(Run("tiny-llama", "2xH100", "zero3-offload-optimizer", {}, fp32).resident() == 2'048'320'512);
}

TEST_CASE("Two parameter groups on three ranks: partitions, padding, owned gradients") {
  const Run run("tiny-llama", "3xH100", "zero2", {});  // recorded with the Trainer's two groups
  CHECK(run.resident("flat weights") == 7'348'224 + 4'608);
  CHECK(run.resident("master partition") == 4'898'816 + 3'072);
  CHECK(run.most("grads in partition") == 2'487'808);
  const Run sharded("tiny-llama", "3xH100", "zero3", {});
  CHECK(sharded.resident("master partition") == 4'898'896 + 3'096);
  CHECK(sharded.resident("persistent parameter") == 16 * 131'076 + 9 * 516);
}

TEST_CASE("Stage 1 keeps the bucket from micro-step to micro-step, stage 2 makes a new one in each") {
  const std::vector<std::string> accumulation{"--grad-accum", "3"};
  const Run zero1("tiny-llama", "2xH100", "zero1", {}, accumulation);
  const Run zero2("tiny-llama", "2xH100", "zero2", {}, accumulation);
  CHECK(zero1.allocations("ipg bucket", true).size() == 2);  // two steps
  CHECK(zero2.allocations("ipg bucket", true).size() == 6);
  CHECK(zero1.most("grad") == 2 * parameters + 512'000);  // all of them, and the embedding's that is being added
  CHECK(zero2.most("grad") < parameters);
}

TEST_CASE("Accumulation in host memory has a buffer for each owned parameter") {
  const std::vector<std::string> accumulation{"--grad-accum", "3"};
  const auto buffers =
      Run("tiny-llama", "2xH100", "zero2-offload", {}, accumulation).allocations("accumulated grads", false);
  // Recorded with one group: 1 of 512 000, 6 of 352 256, 9 of 131 072. With two, rank 0's matrices end one earlier.
  CHECK(std::count(buffers.begin(), buffers.end(), 512'000) == 1);
  CHECK(std::count(buffers.begin(), buffers.end(), 352'256) == 6);
  CHECK(std::count(buffers.begin(), buffers.end(), 131'072) == 8);
  CHECK(Run("tiny-llama", "2xH100", "zero1-offload", {}, accumulation).allocations("accumulated grads", false).empty());
}

TEST_CASE("ZeRO-2's all-reduces with a small bucket") {
  ZeroOptions zero;
  zero.reduce_bucket_size = 200'000;
  const Run run("tiny-llama", "2xH100", "zero2", zero);
  run.check_collectives({-256000, -176384, -176128, -176384, -196608, -65792,  -176128, -176128,
                         -176384, -196608, -65792,  -176128, -176128, -176384, -196608, -65792,
                         -176128, -176128, -176384, -196608, -65792,  -256000});
}

TEST_CASE("ZeRO-3's gathers and reduce-scatters with small buckets and limits") {
  ZeroOptions zero;
  zero.reduce_bucket_size = 200'000;
  zero.prefetch_bucket_size = 100'000;
  zero.persistence_threshold = 300;
  zero.max_live_parameters = zero.max_reuse_distance = 600'000;
  zero.sub_group_size = 500'000;
  const Run run("tiny-llama", "2xH100", "zero3", zero);
  run.check_collectives({256000,  131072,  131072,  176128,  176128,  176128,  65536,   65536,   131072,  176128,
                         176128,  176128,  65536,   65536,   131072,  176128,  176128,  176128,  65536,   65536,
                         131072,  176128,  176128,  176128,  256000,  176128,  176128,  131072,  -256000, 131072,
                         -176384, 176128,  -176128, 176128,  -176384, 176128,  65536,   -196608, 65536,   -65792,
                         131072,  -176128, 176128,  -176128, 176128,  -176384, 176128,  65536,   -196608, 65536,
                         -65792,  131072,  -176128, 176128,  -176128, 176128,  -176384, 176128,  65536,   -196608,
                         65536,   -65792,  131072,  -176128, 256000,  -176128, -176384, -196608, -65792,  -256000});
}

TEST_CASE("A block of experts is a leaf module: gathered as one, reduced when its backward is done") {
  ZeroOptions zero;
  zero.reduce_bucket_size = 1'000'000;
  zero.prefetch_bucket_size = 100'000;
  zero.persistence_threshold = 300;
  zero.max_live_parameters = zero.max_reuse_distance = 2'000'000;
  zero.sub_group_size = 500'000;
  const Run run("tiny-mixtral", "2xH100", "zero3", zero);
  run.check_collectives({256000, 131072, 197632,  131072,  131072,  131072,  131072, 131072,  131072, 131072,
                         131072, 131072, 262144,  131072,  197632,  131072,  131072, 131072,  131072, 131072,
                         131072, 655360, 131072,  197632,  131072,  131072,  131072, 131072,  131072, 131072,
                         655360, 256000, -912640, 132096,  131072,  131072,  131072, -983296, 131072, 131072,
                         131072, 131072, 524288,  -918784, 132096,  131072,  131072, 131072,  131072, 131072,
                         131072, 131072, 524288,  -984576, -917504, -852480, -256000});
}

TEST_CASE("One rank alone still copies its gradients together") {
  const Run run("tiny-llama", "1xH100", "zero3", {});
  CHECK(run.most("reduce-scatter input") == 2 * parameters);
  CHECK(run.most("parameter") == 0);
}
