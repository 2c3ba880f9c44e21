// Worked numbers for Llama-3-8B (8 030 261 248 parameters) on 8 GPUs, in decimal GB: what each runtime keeps resident,
// what it allocates for a moment, what it sends over the wire, over PCIe, and holds in host memory.
#include <array>
#include <cstdio>

#include "catch.hpp"
#include "scenario.hpp"

using namespace shardsim;

namespace {

constexpr double parameters = 8'030'261'248;

std::string gigabytes(double bytes) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", bytes / 1e9);
  return text.data();
}

class Seen {
 public:
  explicit Seen(const std::string& strategy, const std::vector<std::string>& more = {})
      : planned_(make(strategy, more)) {
    test::replay(planned_.run.plan, program(), [&](const test::Live& live, const Mark&) {
      for (const auto& [label, bytes] : live.by_label) most_[label] = std::max(most_[label], bytes);
      last_ = live;
    });
  }
  const Plan& plan() const { return planned_.run.plan; }
  const Program& program() const { return planned_.run.plan.programs.front(); }
  /// Highest live bytes of a label.
  double most(const std::string& label) const {
    return most_.count(label) != 0 ? static_cast<double>(most_.at(label)) : 0;
  }
  /// Live at the end, on the device or on the host.
  double resident(bool host) const {
    return static_cast<double>(last_.total([&](std::string_view label) {
      return label.starts_with("host ") == host && label != "cublas workspace" && label != "model buffers";
    }));
  }
  /// Bytes that this rank's tasks of a kind move in the steady step; labels beginning with `label` only.
  double moved(TaskKind kind, std::string_view label = "") const {
    double sum = 0;
    for (const Task& task : program().tasks) {
      if (task.kind != kind || task.step != 1) continue;
      if (!plan().labels[task.label.index()].starts_with(label)) continue;
      sum += plan().transfers[task.transfer.index()].bytes;
    }
    return sum;
  }

 private:
  static test::Planned make(const std::string& strategy, const std::vector<std::string>& more) {
    std::vector<std::string> words{"--topology", "8xH100",     "--strategy", strategy,
                                   "--model",    "llama-3-8b", "--seq-len",  "128"};
    words.insert(words.end(), more.begin(), more.end());
    return test::plan(words);
  }
  test::Planned planned_;
  std::map<std::string, std::int64_t> most_;
  test::Live last_;
};

}  // namespace

TEST_CASE("Resident bytes on the device") {
  CHECK(gigabytes(Seen("zero1").resident(false)) == "28.11");  // 2P + 12P/8
  CHECK(gigabytes(Seen("zero2").resident(false)) == "28.11");
  // 2P/8 weights, 4P/8 master, 8P/8 moments, 2P/8 gradients, the bucket, and the persistent parameters.
  CHECK(gigabytes(Seen("zero3").resident(false) - 1e9) == "16.06");
  CHECK(gigabytes(Seen("fsdp").resident(false) + 4 * parameters / 8) == "16.06");  // gradients come and go
  CHECK(gigabytes(Seen("ddp", {"--precision", "fp32"}).resident(false)) == gigabytes((4 + 8 + 4) * parameters));
}

TEST_CASE("ZeRO-1 holds all gradients at the end of backward, a bucket and its flattened copy") {
  const Seen seen("zero1");
  CHECK(gigabytes(seen.most("grad")) == "16.06");
  CHECK(seen.most("ipg bucket") == 1e9);
  CHECK(seen.most("flat bucket") <= 1e9);
  CHECK(seen.most("flat bucket") > 0.5e9);
}

TEST_CASE("ZeRO-2 holds the full gradient of every parameter that touches the partition") {
  const Seen seen("zero2");  // rank 0: the embedding and the first layers
  CHECK(seen.most("grads in partition") >= 2 * parameters / 8);
  CHECK(seen.most("grads in partition") <= 2 * parameters / 8 + 2 * 2 * 525'336'576.0);
  CHECK(gigabytes(seen.most("flat grad") + seen.most("fp32 grad")) == "6.02");
  CHECK(seen.most("overflow check") == 0);  // largest and smallest element only, since 0.19
  CHECK(gigabytes(seen.most("norm in fp64")) == "4.20");
}

TEST_CASE("ZeRO-3's step works sub-group by sub-group") {
  const Seen seen("zero3");
  CHECK(gigabytes(seen.most("norm in fp64")) == gigabytes(8 * 525'336'576.0 / 8));
  CHECK(seen.most("reduce-scatter input") <= 1e9);
}

TEST_CASE("Bytes that each rank sends in a step") {
  CHECK(gigabytes(Seen("zero1").moved(TaskKind::collective)) == "42.16");
  CHECK(gigabytes(Seen("zero2").moved(TaskKind::collective)) == "42.16");
  CHECK(Seen("zero3").moved(TaskKind::collective) == Approx(40.5e9).epsilon(0.005));
  // 2P + 2P + 4P, less the second gather of [norm, lm_head], which stays gathered.
  const double kept = 2 * 525'340'672.0;
  CHECK(gigabytes(Seen("fsdp", {"--reduce-dtype", "fp32"}).moved(TaskKind::collective)) ==
        gigabytes((8 * parameters - kept) * 7 / 8));
  CHECK(Seen("ddp", {"--precision", "fp32"}).moved(TaskKind::collective) == Approx(56.21e9).epsilon(0.01));
}

TEST_CASE("Bytes over PCIe for each rank in an offloaded step") {
  const Seen zero2("zero2-offload");
  CHECK(gigabytes(zero2.moved(TaskKind::copy, "download")) == "4.02");
  CHECK(gigabytes(zero2.moved(TaskKind::copy, "upload")) == "2.01");
  const Seen optimizer("zero3-offload-optimizer");
  CHECK(gigabytes(optimizer.moved(TaskKind::copy, "download")) == "6.02");
  CHECK(gigabytes(optimizer.moved(TaskKind::copy, "upload")) == "4.02");  // gradients back, and the new weights
  const Seen both("zero3-offload");
  CHECK(gigabytes(both.moved(TaskKind::copy, "download")) == "6.02");
  CHECK(gigabytes(both.moved(TaskKind::copy, "upload grad")) == "2.01");
  CHECK(both.moved(TaskKind::copy, "upload partition") == Approx((8.089e9 + 7.010e9) * 2 / 8).epsilon(0.001));
}

TEST_CASE("Host memory of each rank before the pinned allocator rounds") {
  CHECK(gigabytes(Seen("zero3-offload-optimizer").resident(true)) == "18.07");
  CHECK(gigabytes(Seen("zero3-offload").resident(true)) == "20.08");
  CHECK(gigabytes(Seen("zero2-offload").resident(true) - 2 * 525'336'576.0) == "18.07");
  CHECK(gigabytes(Seen("fsdp-offload").resident(true) + 4 * parameters / 8) == "16.06");
}

TEST_CASE("A pinned partition of 4.02 GB takes 4.29 GB") {
  const Seen seen("zero2-offload");
  const Outcome outcome = run(seen.plan());
  CHECK(outcome.hosts.front().pinned_peak % (std::int64_t{1} << 20) == 0);
  CHECK(static_cast<double>(outcome.hosts.front().pinned_peak) > seen.resident(true) - 8 * parameters / 8);
}

TEST_CASE("CPU Adam moves 28 bytes a parameter, 44 with unscaling and casting") {
  CHECK(gigabytes(8 * Seen("zero2-offload").moved(TaskKind::cpu, "cpu optimizer")) == "353.33");
}

TEST_CASE("The loss peaks at 10 and 12 bytes a logit") {
  const auto planned =
      test::plan({"--topology", "8xH100", "--strategy", "zero3", "--model", "llama-3-8b", "--seq-len", "8192"});
  const Plan& plan = planned.run.plan;
  const Program& program = plan.programs.front();
  std::map<Phase, std::int64_t> most;
  std::int64_t live = 0;
  Mark mark;
  for (const Instruction& instruction : program.instructions) {
    if (instruction.kind == Instruction::Kind::mark) mark = program.marks[instruction.index];
    if (instruction.kind != Instruction::Kind::allocate && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    if (tensor.category != Category::logits) continue;
    live += instruction.kind == Instruction::Kind::allocate ? tensor.bytes : -tensor.bytes;
    most[mark.phase] = std::max(most[mark.phase], live);
  }
  const double logits = 8192.0 * 128'256;
  CHECK(static_cast<double>(most[Phase::forward]) == Approx(10 * logits).epsilon(0.001));
  CHECK(static_cast<double>(most[Phase::backward]) == Approx(12 * logits).epsilon(0.001));
}
