// Does the program keep the contract's promises to shells and scripts: statuses, streams, one-line errors?
#include <algorithm>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "cli/program.hpp"
#include "request/contains.hpp"

namespace {

const std::string small = "--topology 4xA100 --strategy zero3 --model gpt2 --seq-len 512";
const std::string too_large = "--topology 1xRTX-4090 --strategy single --model llama-2-7b";

/// Refused: status 2, nothing on stdout, one line on stderr that holds `part`.
void check_refused(const std::string& arguments, const std::string& part) {
  INFO(arguments);
  const Run result = run(arguments);
  CHECK(result.status == 2);
  CHECK(result.out.empty());
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  CHECK_THAT(result.err, Contains(part));
  CHECK(result.err.starts_with("shardsim: error: "));
}

}  // namespace

TEST_CASE("a run that fits exits with 0 and its report") {
  const Run result = run(small);
  CHECK(result.status == 0);
  CHECK(result.out.starts_with("FITS: "));
  CHECK(run("simulate " + small).out == result.out);
}

TEST_CASE("a run that does not fit exits with 1 and still reports") {
  const Run result = run(too_large);
  CHECK(result.status == 1);
  CHECK(result.out.starts_with("DOES NOT FIT: "));
  const Run json = run(too_large + " --format json");
  CHECK(json.status == 1);
  CHECK(nlohmann::json::parse(json.out)["fits"] == false);
}

TEST_CASE("wrong requests exit with 2 and one line") {
  check_refused("", "--topology and --strategy are missing");
  check_refused("simulat " + small, "unknown verb 'simulat'; expected a known name such as simulate");
  check_refused(small + " --toplogy x", "unknown option '--toplogy'");
  check_refused(small + " plan", "unexpected argument 'plan'");
  check_refused("--topology 4xA100 --strategy zro3", "zero3");
  check_refused("--topology 4xA10O --strategy zero3", "A10O");
  check_refused(small + " --allocator cashing", "--allocator");
  check_refused(small + " --seq-len 0", "--seq-len");
  check_refused(small + " --config /no/such/file", "/no/such/file");
  check_refused(small + " -o /no/such/folder/report", "cannot write '/no/such/folder/report'");
  check_refused("--topology 4xA100 --strategy ddp --model lama-2-7b", "llama-2-7b");
  check_refused("list modles", "models");
  check_refused("list", "expected shardsim list KIND");
  check_refused("version 3", "version takes no arguments");
  check_refused("help simulat", "simulate");
}

TEST_CASE("help and version go to stdout") {
  for (const std::string arguments :
       {"--help", "-h", "help", "help simulate", "help list", "simulate --help", "list --help", "calibrate --help",
        "--topology 4xA100 --help", "--version", "version"}) {
    INFO(arguments);
    const Run result = run(arguments);
    CHECK(result.status == 0);
    CHECK_FALSE(result.out.empty());
    CHECK(result.err.empty());
  }
  const std::string help = run("--help").out;
  CHECK(help.find("Examples:") < help.find("Usage:"));
  CHECK_THAT(run("simulate --help").out, Contains("--grad-accum"));
}

TEST_CASE("the help of each verb fits on a screen, and that of all names every option") {
  for (const char* verb : {"simulate", "explain", "advise", "plan", "sweep", "list", "validate", "calibrate"}) {
    INFO(verb);
    const std::string help = run(std::string(verb) + " --help").out;
    CHECK(run(std::string("help ") + verb).out == help);
    CHECK(std::count(help.begin(), help.end(), '\n') <= 50);
    std::istringstream lines(help);
    for (std::string line; std::getline(lines, line);) {
      INFO(line);
      CHECK(line.size() <= 100);
    }
  }
  const std::string all = run("help all").out;
  for (const char* option : {"--kbit-upcast", "--deadline", "--faster", "--compare", "--dry-run", "--residuals"}) {
    CHECK_THAT(all, Contains(option));
  }
}

TEST_CASE("an option's own help says all of it, and which names it takes") {
  CHECK_THAT(run("help micro-batch").out, Contains("sequences a device works on at once"));
  CHECK_THAT(run("help --optimizer").out, Contains("paged-adamw-8bit"));
  CHECK_THAT(run("help --deadline").out, Contains("the run must end within"));
}

TEST_CASE("what may stand next is told to shells") {
  const auto answers = [](const std::string& words) { return "\n" + run("complete " + words).out; };
  CHECK_THAT(answers("''"), Contains("\nsimulate\t") && Contains("\nvalidate\t") && !Contains("complete"));
  CHECK_THAT(answers("--micro"), Contains("\n--micro-batch\t"));
  CHECK_THAT(answers("plan --dead"), Contains("\n--deadline\t"));
  CHECK_THAT(answers("sweep --dead"), !Contains("deadline"));
  CHECK_THAT(answers("plan --"), Contains("\n--help\t") && Contains("\n--model\t"));
  CHECK_THAT(answers("--model llama-2-"), Contains("\nllama-2-7b\n") && !Contains("mistral"));
  CHECK_THAT(answers("simulate --strategy zero3-off"), Contains("\nzero3-offload\n"));
  CHECK_THAT(answers("--topology dgx-a"), Contains("\ndgx-a100\n"));
  CHECK_THAT(answers("--topology 2x8xH1"), Contains("\n2x8xH100-SXM5-80GB\n"));
  CHECK_THAT(answers("--gpu RTX"), Contains("\nRTX-4090\n"));
  CHECK_THAT(answers("list mod"), Contains("\nmodels\n"));
  CHECK_THAT(answers("help pl"), Contains("\nplan\t"));
  CHECK_THAT(answers("sweep --format s"), Contains("\nsqlite\n"));
  // "--format=js" is one word for zsh and fish, three for bash.
  CHECK(answers("--format=js") == "\n--format=json\n");
  CHECK(answers("--format = js") == "\njson\n");
  CHECK_THAT(answers("--compile ="), Contains("\non\n") && Contains("\noff\n"));
  // Where files and numbers belong, nothing: the shell then offers files.
  CHECK(answers("--config ''") == "\n");
  CHECK(answers("--seq-len 4") == "\n");
  CHECK(answers("sweep ''") == "\n");
}

TEST_CASE("the version is the project's") {
  const std::string build = contents(SHARDSIM_SOURCE "/CMakeLists.txt");
  const std::string version = run("--version").out;
  REQUIRE(version.starts_with("shardsim "));
  const std::string number = version.substr(9, version.find(' ', 9) - 9);
  CHECK_THAT(build, Contains("project(shardsim VERSION " + number + " "));
}

TEST_CASE("lists are names, one a line, that simulate takes") {
  CHECK_THAT(run("list models").out, Contains("\nllama-2-7b\n"));
  CHECK_THAT(run("list models -v").out, Contains("6.74 G parameters"));
  CHECK_THAT(run("list devices").out, Contains("A100-SXM4-80GB\n"));
  CHECK_THAT(run("list devices -v").out, Contains("GB/s"));
  CHECK_THAT(run("list systems").out, Contains("dgx-a100\n"));
  CHECK_THAT(run("list systems -v").out, Contains("8 x A100"));
  CHECK_THAT(run("list strategies").out, Contains("zero3-offload\n"));
  CHECK_THAT(run("list strategies -v").out, Contains("FSDP2"));
  CHECK_THAT(run("list optimizers").out, Contains("adamw\n") && Contains("sgd-momentum\n"));
  CHECK_THAT(run("list optimizers -v").out, Contains("bitsandbytes"));
  CHECK_THAT(run("list precisions").out, Contains("bf16-mixed\n"));
  for (const std::string kind : {"attentions", "losses", "implementations", "checkpointing", "formats"}) {
    CHECK(run("list " + kind).status == 0);
  }
}

TEST_CASE("stdout carries the result and nothing else") {
  const Run json = run(small + " --format json -v");
  CHECK(nlohmann::json::accept(json.out));
  const Run csv = run(small + " --format csv");
  CHECK(csv.out.starts_with("topology,"));
  CHECK(run(small + " --format markdown").out.starts_with("# FITS"));
  CHECK(run(small + " -q").err.empty());
}

TEST_CASE("-o writes the same bytes to a file and nothing to stdout") {
  const std::string file = scratch().file("report.json");
  const Run written = run(small + " --format json -o '" + file + "'");
  CHECK(written.status == 0);
  CHECK(written.out.empty());
  CHECK(contents(file) == run(small + " --format json").out);
}

TEST_CASE("a config file and the command line come together") {
  const std::string config = scratch().file("run.cfg");
  std::ofstream(config) << "topology: 4xA100\nstrategy = zero3\nmodel = gpt2\nseq-len = 1024\n";
  const Run result = run("--config '" + config + "' --seq-len 512");
  CHECK(result.status == 0);
  CHECK(result.out == run(small).out);
}

TEST_CASE("the same request gives the same bytes") {
  CHECK(run(small + " --format json --threads 1").out == run(small + " --format json --threads 2").out);
}

TEST_CASE("no colour where stdout is no terminal") { CHECK_THAT(run(small, "TERM=xterm").out, !Contains("\033")); }

TEST_CASE("on a terminal colour obeys NO_COLOR, --no-color and TERM") {
  // script(1) lends the program a terminal.
  if (std::system("script -qec true /dev/null >/dev/null 2>&1 </dev/null") != 0) {
    WARN("script finds no terminal to lend: colours on a terminal are not tested");
    return;
  }
  const auto on_terminal = [](const std::string& variables, const std::string& more) {
    const std::string file = scratch().file("typescript");
    const std::string inner = "env -u NO_COLOR " + variables + " " SHARDSIM_PROGRAM " " + small + " " + more;
    const int status = std::system(("script -qec \"" + inner + "\" '" + file + "' >/dev/null 2>&1 </dev/null").c_str());
    REQUIRE(status == 0);
    return contents(file);
  };
  CHECK_THAT(on_terminal("TERM=xterm", ""), Contains("\033[1;32mFITS"));
  CHECK_THAT(on_terminal("TERM=xterm NO_COLOR=", ""), Contains("\033[1;32mFITS"));
  CHECK_THAT(on_terminal("TERM=xterm NO_COLOR=1", ""), !Contains("\033[1;"));
  CHECK_THAT(on_terminal("TERM=dumb", ""), !Contains("\033[1;"));
  CHECK_THAT(on_terminal("TERM=xterm", "--no-color"), !Contains("\033[1;"));
}

TEST_CASE("a stdout that closes early does not kill the program") {
  const std::string status = scratch().file("status");
  const std::string command =
      "('" SHARDSIM_PROGRAM "' " + small + " --format json 2>/dev/null; echo $? >'" + status + "') | true";
  CHECK(std::system(command.c_str()) == 0);
  CHECK(contents(status) == "0\n");
}

TEST_CASE("a stdout that cannot be written is said") {
  const Run closed = run(small + " -q", "", ">&-");
  CHECK(closed.status == 2);
  CHECK_THAT(closed.err, Contains("cannot write to stdout"));
  if (std::filesystem::exists("/dev/full")) {
    CHECK(run(small + " -q", "", ">/dev/full").status == 2);
    CHECK(run(small + " -q -o /dev/full").status == 2);
  }
}

TEST_CASE("sizes beyond counting are refused, not wrapped") {
  for (const char* more : {"--seq-len 1e18", "--micro-batch 1000000000000", "--grad-accum 100000000",
                           "--micro-batch 9e18", "--attention eager --seq-len 1e9"}) {
    INFO(more);
    const Run refused = run("--topology 4xA100 --strategy ddp " + std::string(more));
    CHECK(refused.status == 2);
    CHECK(std::count(refused.err.begin(), refused.err.end(), '\n') == 1);
  }
}

TEST_CASE("explain says where it goes, and compares two requests") {
  const Run explained = run("explain " + small);
  CHECK(explained.status == 0);
  CHECK_THAT(explained.out, Contains("rule of thumb") && Contains("twice as fast would give"));
  const Run compared =
      run("explain --compare '" SHARDSIM_SOURCE "/examples/lessons/lora-attention-only.conf' '" SHARDSIM_SOURCE
          "/examples/lessons/lora-all-linear.conf'");
  CHECK(compared.status == 0);
  CHECK_THAT(compared.out, Contains("--lora-targets") && Contains("B - A"));
  CHECK_THAT(run("explain " + small + " --format markdown").out, Contains("| tensors | number |"));
  CHECK_THAT(run("explain " + small + " --format json").out, Contains("shardsim.explanation/1"));
  check_refused("explain " + small + " --format csv", "an explanation has no such form");
  check_refused("explain --compare one.conf", "two files");
}
