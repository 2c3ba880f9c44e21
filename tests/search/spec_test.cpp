// The sweep's YAML, read and refused.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "sim/search/spec.hpp"

using namespace shardsim;

namespace {

SweepSpec read(const std::string& text) {
  const auto file = std::filesystem::temp_directory_path() / ("shardsim-spec-" + std::to_string(::getpid()) + ".yaml");
  std::ofstream(file) << text;
  struct Remove {
    std::filesystem::path path;
    ~Remove() { std::filesystem::remove(path); }
  } const remove{file};
  return read_sweep_spec(file);
}

std::string fault(const std::string& text) {
  return refusal([&] { read(text); });
}

const std::string base = "base: {topology: 4xA100, strategy: zero3}\n";

}  // namespace

TEST_CASE("Lists and ranges") {
  const SweepSpec spec = read(base + R"(
axes:
  model: [gpt2, llama-2-7b]
  seq-len: {from: 1k, to: 8k, times: 2}
  micro-batch: {from: 1, to: 7, step: 3}
)");
  REQUIRE(spec.space.axes.size() == 3);
  CHECK(spec.space.axes[1].values == std::vector<std::string>{"1024", "2048", "4096", "8192"});
  CHECK(spec.space.axes[2].values == std::vector<std::string>{"1", "4", "7"});
  CHECK(spec.space.points() == 24);
  CHECK(spec.pareto.size() == 2);
}

TEST_CASE("Whole numbers are told from what only looks like them") {
  CHECK(are_whole({"0", "1", "4096", "999999999999999"}));
  for (const std::string odd : {"4k", "08", "-1", "1.5", "", "1e3", "1234567890123456", "none"}) {
    INFO(odd);
    CHECK_FALSE(are_whole({"1", odd}));
  }
}

TEST_CASE("The last axis varies fastest") {
  const SweepSpec spec = read(base + "axes: {micro-batch: [1, 2], seq-len: [256, 512, 1024]}\n");
  const auto values = spec.space.values_at(4);
  CHECK(*values[0] == "2");
  CHECK(*values[1] == "512");
  const OptionTexts texts = spec.space.texts_at(4);
  CHECK(texts.at("micro-batch").value == "2");
  CHECK(texts.at("strategy").value == "zero3");
}

TEST_CASE("Points that meet all conditions of a rule are left out") {
  const SweepSpec spec = read(base + R"(
axes: {micro-batch: [1, 2, 4], seq-len: [1024, 4096], checkpointing: [none, full]}
where:
  - {micro-batch * seq-len: "> 8k", checkpointing: none}
  - {micro-batch: [2], seq-len: 1024}
  - {checkpointing: "!= none", seq-len: "<= 1024", micro-batch: ">= 4"}
)");
  std::vector<std::uint64_t> left;
  for (std::uint64_t i = 0; i < spec.space.points(); ++i) {
    if (!spec.space.skips(spec.space.texts_at(i))) left.push_back(i);
  }
  // By hand: (1,*,*) all four; (2,4096,*); (4,1024,none) and (4,4096,full).
  CHECK(left == std::vector<std::uint64_t>{0, 1, 2, 3, 6, 7, 8, 11});
}

TEST_CASE("What makes no sweep gets one line") {
  CHECK_THAT(fault("axes: {micro-bach: [1]}"), Contains("unknown option 'micro-bach'") && Contains("micro-batch"));
  CHECK_THAT(fault("axes: {format: [json]}"), Contains("unknown option 'format'"));
  CHECK_THAT(fault("axis: {micro-batch: [1]}"), Contains("unknown section 'axis'"));
  CHECK_THAT(fault(base), Contains("no axes"));
  CHECK_THAT(fault("axes: {micro-batch: []}"), Contains("no values"));
  CHECK_THAT(fault("axes: {micro-batch: {from: 8, to: 1}}"), Contains("empty"));
  CHECK_THAT(fault("axes: {micro-batch: {from: 1, to: 8, times: 1}}"), Contains("never ends"));
  CHECK_THAT(fault("axes: {micro-batch: {from: 0, to: 8, times: 2}}"), Contains("too long"));
  CHECK_THAT(fault("axes: {micro-batch: {from: 1, to: 1e12}}"), Contains("too long"));
  CHECK_THAT(fault("axes: {micro-batch: {from: 1, until: 8}}"), Contains("unknown key of a range 'until'"));
  CHECK_THAT(fault("axes: {micro-batch: [1, 1]}"), Contains("stands twice"));
  CHECK_THAT(fault("base: {micro-batch: 1}\naxes: {micro-batch: [1, 2]}"), Contains("said twice"));
  CHECK_THAT(fault("axes: {micro-batch: {from: 1, to: 99999}, seq-len: {from: 1, to: 99999}}"),
             Contains("1e+10 points"));
  CHECK_THAT(fault("axes: {micro-batch: [1]}\nwhere: {micro-batch: 1}"), Contains("no list"));
  CHECK_THAT(fault("axes: {micro-batch: [1]}\nwhere: [{}]"), Contains("everything"));
  CHECK_THAT(fault("axes: {micro-batch: [1]}\nwhere: [{seq-len: 1}]"), Contains("neither in the base nor an axis"));
  CHECK_THAT(fault("axes: {model: [gpt2]}\nwhere: [{model: \"> 3\"}]"), Contains("gpt2"));
  CHECK_THAT(fault("axes: {micro-batch: [1]}\npareto: [speed]"), Contains("unknown objective 'speed'"));
  CHECK_THAT(fault("axes: [1"), Contains("malformed YAML") && Contains(":"));
  CHECK_THAT(fault("- 1"), Contains("no mapping"));
  CHECK_THAT(refusal([] { read_sweep_spec("/nowhere/spec.yaml"); }), Contains("cannot read"));
}

TEST_CASE("The canonical form tells sweeps apart and ignores where they stand") {
  const std::string axes = "axes: {micro-batch: [1, 2]}\n";
  CHECK(read(base + axes).space.canonical() == read("# a comment\n" + base + axes).space.canonical());
  CHECK(read(base + axes).space.canonical() != read(base + "axes: {micro-batch: [1, 3]}\n").space.canonical());
  CHECK(read(base + axes).space.canonical() != read(base + axes + "where: [{micro-batch: 1}]\n").space.canonical());
}
