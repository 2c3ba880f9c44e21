// Does --memory-snapshot write what Python unpickles and the PyTorch memory viewer draws?
#include "catch.hpp"
#include "cli/program.hpp"

namespace {

bool has_python() { return std::system("python3 -c 'import pickle' >/dev/null 2>&1") == 0; }

}  // namespace

TEST_CASE("Python reads the snapshot, every rule of its format holds, and it says what the report says") {
  if (!has_python()) {
    WARN("python3 is not installed: the memory snapshot is not checked");
    return;
  }
  const std::string requests[] = {
      "--topology 4xA100 --strategy zero3-offload --model tinyllama-1.1b",
      "--topology 1xRTX-4090 --strategy single --model tinyllama-1.1b --peft lora",
      "--topology 8xH100 --strategy fsdp --model llama-3-8b --save full",
      // Segments are given back and taken anew where the device is too small.
      "--topology 1xRTX-4090 --strategy single --model llama-2-7b",
      "--topology 2xRTX-3090 --strategy device-map --model llama-2-7b --peft lora",
  };
  for (const std::string& request : requests) {
    INFO(request);
    const std::string snapshot = scratch().file("run.pickle"), report = scratch().file("report.json");
    const Run made = run(request + " -q --format json --memory-snapshot '" + snapshot + "' -o '" + report + "'");
    CHECK(made.status < 2);
    CHECK(made.err == "");
    const std::string check = "python3 '" SHARDSIM_SOURCE "/tests/viewers/check_snapshot.py' '" + snapshot + "' '" +
                              report + "' >'" + scratch().file("said") + "' 2>&1";
    const int failed = std::system(check.c_str());
    INFO(contents(scratch().file("said")));
    CHECK(failed == 0);
  }
}

TEST_CASE("the snapshot is the same for the same request") {
  const std::string request = "--topology 2xA100 --strategy zero2 --model tinyllama-1.1b -q -o /dev/null ";
  run(request + "--memory-snapshot '" + scratch().file("a.pickle") + "'");
  run(request + "--memory-snapshot '" + scratch().file("b.pickle") + "'");
  CHECK(contents(scratch().file("a.pickle")).size() > 100'000);
  CHECK(contents(scratch().file("a.pickle")) == contents(scratch().file("b.pickle")));
}

TEST_CASE("a snapshot that cannot be written is the user's error, and names the option") {
  const Run made = run("--topology 2xA100 --strategy ddp --model tinyllama-1.1b --memory-snapshot /no/such/folder/x");
  CHECK(made.status == 2);
  CHECK(made.out == "");
  CHECK(made.err.find("--memory-snapshot") != std::string::npos);
}

TEST_CASE("verbs that simulate many runs refuse the files of one") {
  for (const std::string verb : {"explain", "advise"}) {
    INFO(verb);
    const Run made = run(verb + " --topology 2xA100 --strategy ddp --model tinyllama-1.1b --memory-snapshot x.pickle");
    CHECK(made.status == 2);
    CHECK(made.err.find("--memory-snapshot") != std::string::npos);
  }
}
