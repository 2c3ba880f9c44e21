// A sweep's results are the same bytes whatever ran it: threads, ranks, kills.
#include <signal.h>

#include <chrono>
#include <random>
#include <thread>

#include "catch.hpp"
#include "cli/program.hpp"
#include "request/contains.hpp"

namespace {

namespace fs = std::filesystem;

std::string write(const std::string& name, const std::string& text) {
  const std::string file = scratch().file(name);
  std::ofstream(file) << text;
  return file;
}

/// 2 000 points that take well under a millisecond each.
const std::string& spec() {
  static const std::string file = [] {
    const std::string model = write("tiny.json", R"({"model_type": "llama", "vocab_size": 512, "hidden_size": 64,
      "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
      "max_position_embeddings": 4096})");
    return write("sweep.yaml", "base: {model: " + model + R"(}
axes:
  topology: [2xA100, 4xA100]
  strategy: [ddp, zero1, zero2, zero3, fsdp]
  micro-batch: {from: 1, to: 10}
  seq-len: {from: 128, to: 1280, step: 128}
  checkpointing: [none, full]
)");
  }();
  return file;
}

std::string fresh(const std::string& name) {
  const std::string file = scratch().file(name);
  fs::remove_all(file);
  fs::remove_all(file + ".journal");
  return file;
}

const std::string& reference() {
  static const std::string text = [] {
    const std::string out = fresh("reference.jsonl");
    const Run result = run("sweep " + spec() + " -q --threads 1 -o " + out);
    REQUIRE(result.status == 0);
    return contents(out);
  }();
  return text;
}

bool has_mpirun() { return std::system("command -v mpirun >/dev/null 2>&1") == 0; }

const std::string mpirun = "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -np ";

/// Starts the words and kills them, and all that they started, after so many milliseconds.
void start_and_kill(const std::string& command, int milliseconds) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setpgid(0, 0);
    ::execl("/bin/sh", "sh", "-c", (command + " >/dev/null 2>&1").c_str(), nullptr);
    ::_exit(127);
  }
  ::setpgid(child, child);
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  ::kill(-child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
}

}  // namespace

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

TEST_CASE("Kills do not show") {
  const std::string out = fresh("killed.jsonl");
  const std::string command = "'" SHARDSIM_PROGRAM "' sweep " + spec() + " -q --threads 1 -o " + out;
  std::mt19937 random(20261121);
  for (int kill = 0; kill < 3; ++kill) {
    start_and_kill(command, 100 + static_cast<int>(random() % 150));
    CHECK((fs::exists(out + ".journal") || fs::exists(out)));
  }
  REQUIRE(run("sweep " + spec() + " -q -o " + out).status == 0);
  CHECK(contents(out) == reference());
  // Given once more, it finds nothing to do.
  const Run again = run("sweep " + spec() + " -q -o " + out);
  CHECK(again.status == 0);
  CHECK_THAT(again.out, Contains("Finished before") && Contains("2000 points"));
}

TEST_CASE("Killed ranks lose their unfinished ranges only") {
  if (!has_mpirun()) return;
  const std::string out = fresh("killed-ranks.jsonl");
  const std::string command = mpirun + "2 '" SHARDSIM_PROGRAM "' sweep " + spec() + " -q --threads 1 -o " + out;
  start_and_kill(command, 700);
  // mpirun's children notice that it is gone, but not at once.
  Run result;
  for (int tries = 0; tries < 100; ++tries) {
    result = run("sweep " + spec() + " -q -o " + out);
    if (result.err.find("another sweep is at work") == std::string::npos) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  INFO(result.err);
  REQUIRE(result.status == 0);
  CHECK(contents(out) == reference());
}

TEST_CASE("An interrupt keeps what is done and says how to go on") {
  const std::string out = fresh("interrupted.jsonl");
  const Run result = run("sweep " + spec() + " -q --threads 1 -o " + out, "timeout -s INT 0.2");
  if (result.status == 0) return;  // it was faster
  CHECK_THAT(contents(scratch().file("err")), Contains("interrupted") && Contains("the same command again"));
  CHECK_FALSE(fs::exists(out));
  REQUIRE(run("sweep " + spec() + " -q -o " + out).status == 0);
  CHECK(contents(out) == reference());
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

TEST_CASE("A disk that is full gets one line, status 2, and the same command goes on when it has room") {
  const auto full = [](const std::string& out) {
    const Run result = run("sweep " + spec() + " -q --threads 1 -o " + out);
    CHECK(result.status == 2);
    CHECK(result.out.empty());
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    CHECK_THAT(result.err, Contains("No space left"));
  };
  const auto goes_on = [](const std::string& out) {
    CHECK(run("sweep " + spec() + " -q -o " + out).status == 0);
    CHECK(contents(out) == reference());
  };
  // Where OUT is put together.
  const std::string merged = fresh("full-merged.jsonl");
  fs::remove(merged + ".unfinished");
  fs::create_symlink("/dev/full", merged + ".unfinished");
  full(merged);
  goes_on(merged);
  // A file system that fills up half way.
  const std::string small = scratch().file("small-disk");
  fs::create_directories(small);
  const std::string mount = "mount -t tmpfs -o size=";
  if (std::system((mount + "256k tmpfs " + small + " 2>/dev/null").c_str()) != 0) {
    WARN("no small disk without the right to mount one: a sweep that fills its disk half way is not tried");
    return;
  }
  full(small + "/points.jsonl");
  REQUIRE(std::system(("mount -o remount,size=16m " + small).c_str()) == 0);
  goes_on(small + "/points.jsonl");
  CHECK(std::system(("umount " + small).c_str()) == 0);
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
