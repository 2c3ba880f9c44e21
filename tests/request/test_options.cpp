// Do options come to the values that they name, and wrong ones to the line that helps?
#include <algorithm>
#include <sstream>

#include "catch.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "sim/request/option_table.hpp"
#include "sim/request/parse_request.hpp"

using namespace shardsim;

namespace {

Request request_of(std::vector<std::string> more) {
  std::vector<std::string> arguments = {"--topology", "4xA100", "--strategy", "zero3"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return parse_request(arguments);
}
std::string refusal_of(const std::vector<std::string>& more) {
  return refusal([&] { request_of(more); });
}

}  // namespace

TEST_CASE("only the topology and the strategy must be given") {
  const Request request = request_of({});
  CHECK(request.topology == "4xA100");
  CHECK(request.strategy == "zero3");
  CHECK(request.kind == StrategyKind::zero3);
  CHECK(request.model == "llama-2-7b");
  CHECK(request.seq_len == 4096);
  CHECK(request.micro_batch == 1);
  CHECK(request.grad_accum == 1);
  CHECK(request.precision == Precision::bf16_mixed);
  CHECK_FALSE(request.reduce_dtype);
  CHECK(request.checkpointing == Checkpointing::none);
  CHECK(request.attention == AttentionKind::flash);
  CHECK(request.loss == LossKind::eager);
  CHECK(request.implementation == Implementation::hf);
  CHECK(request.optimizer_impl == OptimizerImpl::fused);
  CHECK_FALSE(request.pin_memory);
  CHECK(request.format == Format::text);
  CHECK(request.output.empty());
  CHECK(request.verbosity == 0);
  CHECK(request.color);

  CHECK_THAT(refusal([] { parse_request({"--strategy", "zero3"}); }), Contains("--topology is missing"));
  CHECK_THAT(refusal([] { parse_request({"--topology", "4xA100"}); }), Contains("--strategy is missing"));
  CHECK_THAT(refusal([] { parse_request({}); }), Contains("--topology and --strategy are missing"));
}

TEST_CASE("every option reaches its member") {
  const Request request = request_of({"--gpu",
                                      "A100-40GB",
                                      "--model",
                                      "x/config.json",
                                      "--seq-len",
                                      "4k",
                                      "--micro-batch",
                                      "2",
                                      "--grad-accum",
                                      "8",
                                      "--precision",
                                      "fp32",
                                      "--reduce-dtype",
                                      "fp16",
                                      "--checkpointing",
                                      "full",
                                      "--attention",
                                      "sdpa",
                                      "--loss",
                                      "fused",
                                      "--implementation",
                                      "torchtitan",
                                      "--optimizer",
                                      "lion-8bit",
                                      "--optimizer-impl",
                                      "for-loop",
                                      "--pin-memory",
                                      "off",
                                      "--host-memory",
                                      "512GB",
                                      "--nvme",
                                      "4 TB",
                                      "--price",
                                      "12.5",
                                      "--format",
                                      "json",
                                      "-o",
                                      "out.json",
                                      "--threads",
                                      "3",
                                      "--seed",
                                      "0",
                                      "-q",
                                      "--no-color"});
  CHECK(request.gpu == "A100-40GB");
  CHECK(request.model == "x/config.json");
  CHECK(request.seq_len == 4096);
  CHECK(request.micro_batch == 2);
  CHECK(request.grad_accum == 8);
  CHECK(request.precision == Precision::fp32);
  CHECK(request.reduce_dtype == DType::f16);
  CHECK(request.checkpointing == Checkpointing::full);
  CHECK(request.attention == AttentionKind::sdpa);
  CHECK(request.loss == LossKind::fused);
  CHECK(request.implementation == Implementation::torchtitan);
  CHECK(request.optimizer == OptimizerKind::lion_8bit);
  CHECK(request.optimizer_impl == OptimizerImpl::for_loop);
  CHECK(request.pin_memory == false);
  CHECK(request.host_memory == Bytes(512'000'000'000));
  CHECK(request.nvme == Bytes(4'000'000'000'000));
  CHECK(request.price == 12.5);
  CHECK(request.format == Format::json);
  CHECK(request.output == "out.json");
  CHECK(request.threads == 3);
  CHECK(request.verbosity == -1);
  CHECK_FALSE(request.color);
}

TEST_CASE("GiB and GB are not the same") {
  CHECK(request_of({"--host-memory", "512GiB"}).host_memory == Bytes(512LL << 30));
  CHECK(request_of({"--host-memory", "512GB"}).host_memory == Bytes(512'000'000'000));
}

TEST_CASE("an option given twice counts as given last") {
  CHECK(request_of({"--seq-len", "1024", "--seq-len=2048"}).seq_len == 2048);
}

TEST_CASE("numbers that count nothing are refused") {
  for (const std::string option : {"--seq-len", "--micro-batch", "--grad-accum", "--cpu-threads", "--threads"}) {
    for (const std::string value : {"0", "-1", "four", "1.5", "99999999999999999999", "nan", "1e999999999"}) {
      INFO(option << " " << value);
      const std::string line = refusal_of({option, value});
      CHECK_THAT(line, Contains(option));
      CHECK_THAT(line, Contains(value));
      CHECK_THAT(line, Contains("expected"));
    }
  }
  CHECK_THAT(refusal_of({"--threads", "9999999999"}), Contains("too many"));
  CHECK_THAT(refusal_of({"--host-memory", "512"}), Contains("--host-memory"));
  CHECK_THAT(refusal_of({"--host-memory", "0GiB"}), Contains("--host-memory"));
  CHECK_THAT(refusal_of({"--nvme", "-4TB"}), Contains("--nvme"));
  for (const std::string value : {"-1", "free", "1.5USD", "inf", "nan", "1e999"}) {
    INFO(value);
    CHECK_THAT(refusal_of({"--price", value}), Contains("is not a price (--price)"));
  }
}

TEST_CASE("unknown names come with the nearest known ones") {
  CHECK_THAT(refusal_of({"--toplogy", "x"}), Contains("unknown option '--toplogy'") && Contains("topology"));
  CHECK_THAT(refusal_of({"--precision", "bf16-mixd"}), Contains("unknown precision") && Contains("bf16-mixed"));
  CHECK_THAT(refusal_of({"--reduce-dtype", "fp64"}), Contains("unknown reduce-dtype") && Contains("fp16"));
  CHECK_THAT(refusal_of({"--checkpointing", "ful"}), Contains("unknown checkpointing") && Contains("full"));
  CHECK_THAT(refusal_of({"--attention", "flash2"}), Contains("unknown attention") && Contains("flash"));
  CHECK_THAT(refusal_of({"--loss", "eagr"}), Contains("unknown loss") && Contains("eager"));
  CHECK_THAT(refusal_of({"--implementation", "ligr"}), Contains("unknown implementation") && Contains("liger"));
  CHECK_THAT(refusal_of({"--optimizer-impl", "fuse"}), Contains("unknown optimizer-impl") && Contains("fused"));
  CHECK_THAT(refusal_of({"--format", "jsn"}), Contains("unknown format") && Contains("json"));
  CHECK_THAT(refusal_of({"--optimizer", "adamv"}), Contains("unknown optimizer") && Contains("adamw"));
  CHECK_THAT(refusal_of({"--peft", "lara"}), Contains("unknown peft") && Contains("lora"));
  CHECK_THAT(refusal_of({"--pin-memory", "maybe"}), Contains("--pin-memory") && Contains("on or off"));
}

TEST_CASE("prefixes, stray words and lacking values are not let through") {
  CHECK_THAT(refusal_of({"--seq", "4096"}), Contains("unknown option '--seq'") && Contains("seq-len"));
  CHECK_THAT(refusal_of({"plan"}), Contains("unexpected argument 'plan'"));
  CHECK_THAT(refusal_of({"--", "plan"}), Contains("unexpected argument 'plan'"));
  CHECK_THAT(refusal_of({"--operand", "x"}), Contains("unexpected argument 'x'"));
  CHECK_THAT(refusal_of({"--model"}), Contains("--model"));
  CHECK_THAT(refusal_of({"--model", ""}), Contains("--model has no value"));
  CHECK_THAT(refusal_of({"--model="}), Contains("--model"));
  CHECK_THAT(refusal_of({"--model", "--seq-len", "8"}), Contains("--model has no value") || Contains("unexpected"));
  CHECK_THAT(refusal_of({"--quiet=3"}), Contains("--quiet"));
  CHECK_THAT(refusal_of({"-x"}), Contains("-x"));
  CHECK_THAT(refusal_of({"-q", "-v"}), Contains("contradict"));
}

TEST_CASE("the help has every option, under one heading a group") {
  const std::string help = options_help(option_table());
  for (const std::string& name : option_names()) CHECK_THAT(help, Contains("--" + name));
  const std::string heading = std::string(option_table().front().group) + ":";
  const std::size_t first = help.find(heading);
  REQUIRE(first != std::string::npos);
  CHECK(help.find(heading, first + 1) == std::string::npos);
}

TEST_CASE("the help of one screen names every option, and fits on it") {
  const std::string help = options_overview(option_table());
  for (const std::string& name : option_names()) CHECK_THAT(help, Contains("--" + name));
  CHECK(std::count(help.begin(), help.end(), '\n') <= 42);
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    CHECK(line.size() <= 100);
  }
}

TEST_CASE("operands are counted, and options stand before and behind them") {
  const CommandLine line = read_command_line({"a.yaml", "-q", "--threads", "2"}, option_table(), 1);
  CHECK(line.operands == std::vector<std::string>{"a.yaml"});
  CHECK(line.options.at("threads").value == "2");
  CHECK_THAT(refusal([] {
               read_command_line({"a.yaml", "b.yaml"}, option_table(), 1);
             }),
             Contains("unexpected argument 'b.yaml'"));
}

TEST_CASE("the length of the run") {
  CHECK(request_of({"--tokens", "15T"}).tokens == 15'000'000'000'000);
  const Request request = request_of({"--examples", "10k", "--epochs", "2.5"});
  CHECK(request.examples == 10'000);
  CHECK(request.epochs == 2.5);
  CHECK_THAT(refusal_of({"--epochs", "2"}), Contains("--epochs does not say of what"));
  CHECK_THAT(refusal_of({"--tokens", "1", "--examples", "1"}), Contains("one of them"));
  CHECK_THAT(refusal_of({"--tokens", "1", "--epochs", "0"}), Contains("more than 0"));
  CHECK_THAT(refusal_of({"--tokens", "1", "--epochs", "nan"}), Contains("is not a number of epochs (--epochs)"));
  CHECK_THAT(refusal_of({"--examples", "0"}), Contains("is not positive"));
}
