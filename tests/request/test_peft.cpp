// Do the options of adapters come through, and is one without its method refused?
#include "catch.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "sim/request/echo.hpp"
#include "sim/request/parse_request.hpp"

using namespace shardsim;

namespace {

Request parsed(std::vector<std::string> more) {
  more.insert(more.begin(), {"--topology", "1xA100", "--strategy", "single"});
  return parse_request(more);
}

}  // namespace

TEST_CASE("adapters are none unless asked for") {
  CHECK_FALSE(parsed({}).peft.any());
  const Peft lora = parsed({"--peft", "lora"}).peft;
  CHECK(lora.kind == PeftKind::lora);
  CHECK(lora.rank == 16);
  CHECK(lora.targets.empty());
}

TEST_CASE("every option of adapters comes through, and is echoed as it was said") {
  const Request request = parsed({"--peft", "qlora", "--lora-rank", "64", "--lora-targets", "q_proj, v_proj",
                                  "--quantization", "int8", "--kbit-upcast", "off", "--lora-dropout", "0.05"});
  CHECK(request.peft.dropout == 0.05);
  CHECK(request.peft.rank == 64);
  CHECK(request.peft.targets == std::vector<std::string>{"q_proj", "v_proj"});
  CHECK(request.peft.quantization == Quantization::int8);
  CHECK(request.peft.kbit_upcast == false);
  std::vector<std::string> said;
  for (const auto& [name, value] : echo(request)) {
    if (name == "peft" || name == "lora-rank" || name == "lora-targets" || name == "quantization") {
      said.push_back(to_text(value));
    }
  }
  CHECK(said == std::vector<std::string>{"qlora", "64", "q_proj,v_proj", "int8"});
}

TEST_CASE("options of adapters that make no sense are refused") {
  CHECK_THAT(refusal([] { parsed({"--lora-rank", "8"}); }), Contains("--lora-rank 8 has nothing to act on"));
  CHECK_THAT(refusal([] { parsed({"--lora-targets", "q_proj"}); }), Contains("has nothing to act on"));
  CHECK_THAT(refusal([] { parsed({"--peft", "lora", "--quantization", "nf4"}); }), Contains("expected qlora"));
  CHECK_THAT(refusal([] { parsed({"--kbit-upcast", "off"}); }), Contains("expected qlora"));
  CHECK_THAT(refusal([] { parsed({"--peft", "lora", "--kbit-upcast", "on"}); }), Contains("expected qlora"));
  CHECK_FALSE(parsed({"--peft", "lora", "--kbit-upcast", "off"}).peft.kbit_upcast.value_or(true));
  CHECK_THAT(refusal([] { parsed({"--peft", "prompt", "--lora-rank", "8"}); }), Contains("has nothing to act on"));
  CHECK_THAT(refusal([] { parsed({"--peft", "qdora", "--quantization", "gptq4"}); }), Contains("no DoRA over GPTQ"));
  CHECK_THAT(refusal([] { parsed({"--peft", "lora", "--lora-rank", "0"}); }), Contains("no rank"));
  CHECK_THAT(refusal([] { parsed({"--peft", "lora", "--lora-targets", "q_proj,,v_proj"}); }), Contains("no list"));
  CHECK_THAT(refusal([] { parsed({"--peft", "lora", "--lora-targets", "all-linear,v_proj"}); }), Contains("no list"));
  CHECK_THAT(refusal([] { parsed({"--peft", "lorra"}); }), Contains("lora"));
  CHECK_THAT(refusal([] { parsed({"--lora-dropout", "0.1"}); }), Contains("has nothing to act on"));
  for (const std::string share : {"1", "-0.1", "nan", "a tenth"}) {
    CHECK_THAT(refusal([&] { parsed({"--peft", "lora", "--lora-dropout", share}); }), Contains("no dropout"));
  }
}
