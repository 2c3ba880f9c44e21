// Does a config file say the same as the command line, yield to it, and point at its faults by line?
#include "catch.hpp"
#include "request/config_text.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "sim/request/parse_request.hpp"

using namespace shardsim;

namespace {

std::string refusal_of(std::string_view text) {
  const ConfigText config(text);
  return refusal([&] { parse_request({"--config", config.path()}); });
}

}  // namespace

TEST_CASE("keys in a config file are options") {
  const ConfigText config(
      "\xEF\xBB\xBF# a run\r\n"
      "topology: 2x8xH100   # two nodes\r\n"
      "\n"
      "  strategy = zero3-offload\n"
      "model: \"a#b/config.json\"\n"
      "seq-len=2k\n"
      "pin-memory: true\n"
      "quiet = on\n"
      "compile: no");
  const Request request = parse_request({"--config", config.path()});
  CHECK(request.topology == "2x8xH100");
  CHECK(request.strategy == "zero3-offload");
  CHECK(request.model == "a#b/config.json");
  CHECK(request.seq_len == 2048);
  CHECK(request.pin_memory == true);
  CHECK(request.verbosity == -1);
}

TEST_CASE("later beats earlier: defaults, then the config file, then the command line") {
  const ConfigText config("topology = 4xA100\nstrategy = zero2\nseq-len = 1024\nmicro-batch = 2\nquiet = on\n");
  const Request request =
      parse_request({"--seq-len", "2048", "--config", config.path(), "--strategy", "zero3-offload", "-v"});
  CHECK(request.seq_len == 2048);
  CHECK(request.kind == StrategyKind::zero3);
  CHECK(request.offload.any());
  CHECK(request.micro_batch == 2);
  CHECK(request.grad_accum == 1);
  CHECK(request.verbosity == 1);
}

TEST_CASE("faults in a config file are named with file and line") {
  CHECK_THAT(refusal_of("topology = 4xA100\nstrategi = zero3\n"),
             Contains("unknown option 'strategi'") && Contains(".cfg:2") && Contains("strategy"));
  CHECK_THAT(refusal_of("topology = 4xA100\n\nseq_len = 5\n"), Contains(".cfg:3") && Contains("seq-len"));
  CHECK_THAT(refusal_of("topology\n"), Contains("'topology' has no value") && Contains(".cfg:1"));
  CHECK_THAT(refusal_of("topology = ''\n"), Contains("has no value"));
  CHECK_THAT(refusal_of("= 4xA100\n"), Contains(".cfg:1"));
  CHECK_THAT(refusal_of("seq-len = 1\nseq-len = 2\n"), Contains("'seq-len' stands twice") && Contains(".cfg:2"));
  CHECK_THAT(refusal_of("config = other\n"), Contains("no place in a config file"));
  CHECK_THAT(refusal_of("topology = 4xA100\nstrategy = ddp\nseq-len = 0\n"), Contains(".cfg:3, seq-len"));
  CHECK_THAT(refusal_of("allocator = expanding\n"), Contains(".cfg:1") && Contains("expandable"));
  CHECK_THAT(refusal_of("quiet = loud\n topology = a\nstrategy = ddp"), Contains("on or off"));
  CHECK(refusal_of(std::string(300, '\x01')).find('\x01') == std::string::npos);
}

TEST_CASE("what is no config file is refused") {
  CHECK_THAT(refusal([] { parse_request({"--config", "/no/such/file"}); }), Contains("cannot read '/no/such/file'"));
  CHECK_THAT(refusal([] { parse_request({"--config", "/"}); }), Contains("cannot read '/'"));
  CHECK_THAT(refusal([] { parse_request({"--config", "/dev/zero"}); }), Contains("larger than 1 MiB"));
  CHECK_THAT(refusal_of(""), Contains("are missing"));
}
