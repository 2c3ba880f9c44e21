// A sweep's results are the same bytes whatever ran it; what cannot be swept destroys nothing.
#include <algorithm>

#include "catch.hpp"
#include "cli/sweep.hpp"
#include "request/contains.hpp"

TEST_CASE("2 000 points, each with its line, in order") {
  std::istringstream lines(reference());
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    CHECK(line.starts_with("{\"index\":" + std::to_string(count) + ","));
  }
  CHECK(count == 2000);
}

TEST_CASE("Threads do not show") {
  const std::string out = fresh("threads.jsonl");
  REQUIRE(run("sweep " + spec() + " -q --threads 2 -o " + out).status == 0);
  CHECK(contents(out) == reference());
}

TEST_CASE("Ranks do not show") {
  if (!has_mpirun()) return;
  for (const char* ranks : {"2", "4"}) {
    const std::string out = fresh("ranks.jsonl");
    const Run result = run("sweep " + spec() + " -q --threads 1 -o " + out, mpirun + ranks);
    INFO(result.err);
    REQUIRE(result.status == 0);
    CHECK(contents(out) == reference());
    CHECK_THAT(result.out, Contains("2000 points, 2000 fit"));
  }
}

TEST_CASE("CSV and SQLite by the file's ending") {
  const std::string small = write("small.yaml",
                                  "base: {topology: 2xA100, strategy: zero3, model: gpt2}\n"
                                  "axes: {seq-len: [128, 256], micro-batch: [1, 2]}\n");
  const std::string csv = fresh("points.csv");
  REQUIRE(run("sweep " + small + " -q -o " + csv).status == 0);
  CHECK_THAT(contents(csv), Contains("index,seq-len,micro-batch,status,fits,peak_allocated_bytes"));
  CHECK_THAT(contents(csv), Contains("\n3,256,2,fits,true,"));
  const std::string sqlite = fresh("points.sqlite");
  REQUIRE(run("sweep " + small + " -q -o " + sqlite).status == 0);
  CHECK_THAT(contents(sqlite).substr(0, 15), Contains("SQLite format 3"));
  CHECK_THAT(contents(sqlite), Contains("\"seq-len\" INTEGER, \"micro-batch\" INTEGER, status TEXT"));
}

TEST_CASE("An axis of whole numbers gives numbers, any other the words of the spec") {
  const std::string spec = write("words.yaml",
                                 "base: {topology: 2xA100, strategy: zero3, model: gpt2}\n"
                                 "axes: {seq-len: [128, 1k], micro-batch: [1, 2]}\n");
  const std::string lines = fresh("words.jsonl");
  REQUIRE(run("sweep " + spec + " -q -o " + lines).status == 0);
  CHECK_THAT(contents(lines), Contains("\"axes\":{\"seq-len\":\"1k\",\"micro-batch\":2}"));
  const std::string page = fresh("words.html");
  CHECK(run("sweep " + spec + " -q -o " + page).status == 0);
}

TEST_CASE("Points that the runtimes refuse are results") {
  const std::string some = write("refused.yaml",
                                 "base: {topology: 2xA100, model: gpt2, seq-len: 128}\n"
                                 "axes: {strategy: [ddp, fsdp], optimizer: [adamw, adafactor]}\n");
  const std::string out = fresh("refused.jsonl");
  const Run result = run("sweep " + some + " -q -o " + out);
  CHECK(result.status == 0);
  CHECK_THAT(contents(out), Contains("\"status\":\"refused\"") && Contains("adafactor does not run under fsdp"));
  const std::string none = write("none.yaml",
                                 "base: {topology: 1xRTX-4090, strategy: single, seq-len: 128}\n"
                                 "axes: {model: [llama-2-7b, mistral-7b]}\n");
  CHECK(run("sweep " + none + " -q -o " + fresh("none.jsonl")).status == 1);
}

TEST_CASE("What cannot be swept gets one line, status 2, and destroys nothing") {
  const auto refused = [](const std::string& arguments, const std::string& part) {
    INFO(arguments);
    const Run result = run("sweep " + arguments);
    CHECK(result.status == 2);
    CHECK(result.out.empty());
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    CHECK_THAT(result.err, Contains(part));
  };
  const std::string out = fresh("kept.jsonl");
  refused("", "spec is missing");
  refused(spec(), "-o OUT is missing");
  refused(spec() + " -o /proc/out.jsonl", "cannot write there");
  refused(write("axis.yaml", "axes: {modle: [gpt2]}") + " -o " + out, "unknown option 'modle'");
  refused(write("name.yaml", "base: {topology: 2xA100, strategy: ddp}\naxes: {model: [gpt2, gtp3]}") + " -o " + out,
          "unknown model 'gtp3'");
  refused(write("kind.yaml", "base: {topology: 2xA100}\naxes: {strategy: [ddp, zero4]}") + " -o " + out, "zero4");
  write("kept.jsonl", "precious\n");
  refused(spec() + " -o " + out, "there already");
  CHECK(contents(out) == "precious\n");
  const std::string finished = fresh("finished.jsonl");
  const std::string small =
      write("one.yaml", "base: {topology: 2xA100, strategy: ddp, model: gpt2}\naxes: {seq-len: [128]}");
  REQUIRE(run("sweep " + small + " -q -o " + finished).status == 0);
  const std::string before = contents(finished);
  refused(spec() + " -o " + finished, "another sweep");
  CHECK(contents(finished) == before);
}

TEST_CASE("A launcher of another MPI is noticed") {
  const Run result = run("sweep " + spec() + " -o " + fresh("pmi.jsonl"), "PMI_SIZE=4 PMI_RANK=1");
  CHECK(result.status == 2);
  CHECK_THAT(result.err, Contains("each believes to be alone"));
}

TEST_CASE("--dry-run counts and writes nothing") {
  const Run result = run("sweep " + spec() + " --dry-run");
  CHECK(result.status == 0);
  CHECK_THAT(result.out, Contains("2000 points"));
}
