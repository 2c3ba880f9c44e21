// Does each strategy's name stand for the right algorithm and offload, and only where the runtime has it?
#include <algorithm>

#include "catch.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "sim/request/strategy_name.hpp"

using namespace shardsim;

namespace {

struct Expected {
  std::string name;
  StrategyKind kind;
  bool optimizer;
  bool parameters;
};
// DeepSpeed offloads parameters under stage 3 only; FSDP takes everything or nothing.
const std::vector<Expected> names = {
    {"single", StrategyKind::single, false, false},
    {"ddp", StrategyKind::ddp, false, false},
    {"zero1", StrategyKind::zero1, false, false},
    {"zero1-offload", StrategyKind::zero1, true, false},
    {"zero1-offload-optimizer", StrategyKind::zero1, true, false},
    {"zero1-nvme", StrategyKind::zero1, true, false},
    {"zero1-nvme-optimizer", StrategyKind::zero1, true, false},
    {"zero2", StrategyKind::zero2, false, false},
    {"zero2-offload", StrategyKind::zero2, true, false},
    {"zero2-offload-optimizer", StrategyKind::zero2, true, false},
    {"zero2-nvme", StrategyKind::zero2, true, false},
    {"zero2-nvme-optimizer", StrategyKind::zero2, true, false},
    {"zero3", StrategyKind::zero3, false, false},
    {"zero3-offload", StrategyKind::zero3, true, true},
    {"zero3-offload-optimizer", StrategyKind::zero3, true, false},
    {"zero3-offload-param", StrategyKind::zero3, false, true},
    {"zero3-nvme", StrategyKind::zero3, true, true},
    {"zero3-nvme-optimizer", StrategyKind::zero3, true, false},
    {"zero3-nvme-param", StrategyKind::zero3, true, true},
    {"device-map", StrategyKind::device_map, false, false},
    {"fsdp", StrategyKind::fsdp, false, false},
    {"fsdp-offload", StrategyKind::fsdp, true, true},
    {"fsdp-offload-param", StrategyKind::fsdp, true, true},
    {"fsdp-grad-op", StrategyKind::fsdp_grad_op, false, false},
    {"fsdp-grad-op-offload", StrategyKind::fsdp_grad_op, true, true},
    {"fsdp-grad-op-offload-param", StrategyKind::fsdp_grad_op, true, true},
    {"hsdp", StrategyKind::hsdp, false, false},
    {"hsdp-offload", StrategyKind::hsdp, true, true},
    {"hsdp-offload-param", StrategyKind::hsdp, true, true},
    {"fsdp1", StrategyKind::fsdp1, false, false},
    {"fsdp1-offload", StrategyKind::fsdp1, true, true},
    {"fsdp1-offload-param", StrategyKind::fsdp1, true, true},
    {"fsdp1-grad-op", StrategyKind::fsdp1_grad_op, false, false},
    {"fsdp1-grad-op-offload", StrategyKind::fsdp1_grad_op, true, true},
    {"fsdp1-grad-op-offload-param", StrategyKind::fsdp1_grad_op, true, true},
    {"fsdp1-hsdp", StrategyKind::fsdp1_hsdp, false, false},
    {"fsdp1-hsdp-offload", StrategyKind::fsdp1_hsdp, true, true},
    {"fsdp1-hsdp-offload-param", StrategyKind::fsdp1_hsdp, true, true},
};

std::string refusal_of(const std::string& name) {
  return refusal([&] { parse_strategy({name, "--strategy"}); });
}

}  // namespace

TEST_CASE("every strategy name parses to its algorithm and offload") {
  for (const Expected& expected : names) {
    INFO(expected.name);
    const StrategyChoice choice = parse_strategy({expected.name, "--strategy"});
    CHECK(choice.kind == expected.kind);
    CHECK(choice.offload.optimizer == expected.optimizer);
    CHECK(choice.offload.parameters == expected.parameters);
    CHECK_FALSE(describe_strategy(expected.name).empty());
  }
}

TEST_CASE("what -nvme puts on drives") {
  const auto offload = [](const char* name) { return parse_strategy({name, "--strategy"}).offload; };
  CHECK_FALSE(offload("zero3-offload").on_nvme());
  CHECK((offload("zero3-nvme").optimizer_on_nvme && offload("zero3-nvme").parameters_on_nvme));
  CHECK((offload("zero3-nvme-optimizer").optimizer_on_nvme && !offload("zero3-nvme-optimizer").parameters_on_nvme));
  CHECK((!offload("zero3-nvme-param").optimizer_on_nvme && offload("zero3-nvme-param").parameters_on_nvme));
}

TEST_CASE("stages 1 and 2 keep in CPU memory what the name puts on drives, and say so") {
  for (const std::string name : {"zero1-nvme", "zero2-nvme-optimizer"}) {
    const StrategyChoice choice = parse_strategy({name, "--strategy"});
    CHECK_FALSE(choice.offload.on_nvme());
    CHECK_THAT(choice.warning, Contains(name) && Contains("CPU memory all the same"));
  }
  CHECK(parse_strategy({"zero3-nvme", "--strategy"}).warning.empty());
}

TEST_CASE("strategy_names are exactly the names that parse, sorted") {
  std::vector<std::string> expected;
  for (const Expected& each : names) expected.push_back(each.name);
  std::sort(expected.begin(), expected.end());
  CHECK(strategy_names() == expected);
}

TEST_CASE("an offload that the runtime lacks is refused with the reason") {
  for (const std::string name : {"single-offload", "ddp-offload", "ddp-offload-optimizer", "single-nvme"}) {
    CHECK_THAT(refusal_of(name), Contains("it keeps every state on the device") && Contains("--strategy " + name));
  }
  for (const std::string name : {"zero1-offload-param", "zero2-offload-param"}) {
    CHECK_THAT(refusal_of(name), Contains("DeepSpeed offloads parameters under ZeRO-3 only"));
  }
  CHECK_THAT(refusal_of("zero2-nvme-param"), Contains("under ZeRO-3 only"));
  CHECK_THAT(refusal_of("fsdp-nvme"), Contains("CPU memory only"));
  CHECK_THAT(
      refusal_of("fsdp-offload-optimizer"),
      Contains("FSDP offloads parameters, gradients and optimizer together") && Contains("expected fsdp-offload"));
  CHECK_THAT(refusal_of("fsdp-grad-op-offload-optimizer"), Contains("expected fsdp-grad-op-offload"));
}

TEST_CASE("a misspelt strategy suggests the nearest") {
  CHECK_THAT(refusal_of("zro3"), Contains("unknown strategy 'zro3'") && Contains("zero3"));
  CHECK_THAT(refusal_of("-offload"), Contains("unknown strategy"));
  CHECK_THAT(refusal_of(""), Contains("unknown strategy"));
}
