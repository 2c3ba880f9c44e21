// Do the HTML reports work in a real browser? check_pages.py opens them; with SHARDSIM_SCREENSHOTS=FOLDER it leaves
// pictures there.
#include <sys/wait.h>

#include "catch.hpp"
#include "cli/program.hpp"

namespace {

bool has(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

bool has_browser() {
  return has("chromium --version") && has("chromedriver --version") && has("python3 -c 'import urllib.request'");
}

/// A page that `arguments` write with -o.
std::string page(const std::string& name, const std::string& arguments) {
  const std::string file = scratch().file(name + ".html");
  const Run made = run(arguments + " -q -o '" + file + "'");
  INFO(arguments << "\n" << made.err);
  CHECK(made.status < 2);
  return file;
}

void check_in_browser(const std::vector<std::string>& pages) {
  std::string command = "python3 '" SHARDSIM_SOURCE "/tests/viewers/check_pages.py'";
  if (const char* folder = std::getenv("SHARDSIM_SCREENSHOTS")) {
    command += " --screenshots '" + std::string(folder) + "'";
  }
  for (const std::string& file : pages) command += " '" + file + "'";
  constexpr int no_browser = 77;
  const int status = std::system((command + " >'" + scratch().file("said") + "' 2>&1").c_str());
  INFO(contents(scratch().file("said")));
  if (WIFEXITED(status) && WEXITSTATUS(status) == no_browser) {
    WARN("the HTML reports are not opened");
    return;
  }
  CHECK(status == 0);
}

const std::string small = " --model tinyllama-1.1b";

}  // namespace

TEST_CASE("the reports of runs work in a browser") {
  if (!has_browser()) {
    WARN("chromium, chromium-driver or python3 is not installed: the HTML reports are not opened");
    return;
  }
  check_in_browser({
      page("main-job", "--topology 4xA100 --strategy zero3-offload --format html"),
      page("does-not-fit", "--topology 1xA100 --strategy single --format html"),
      page("two-nodes", "--topology 2x8xH100 --strategy hsdp --model llama-3-8b --tokens 1B --format html"),
      page("device-map", "--topology 2xRTX-3090 --strategy device-map --peft lora --format html"),
      page("saves", "--topology 2xRTX-4090 --strategy fsdp --save full --format html" + small),
  });
}

TEST_CASE("the reports of a sweep and of a plan work in a browser") {
  if (!has_browser()) {
    WARN("chromium, chromium-driver or python3 is not installed: the HTML reports are not opened");
    return;
  }
  const std::string spec = scratch().file("spec.yaml");
  std::ofstream(spec) << "base: {topology: 4xA100, model: tinyllama-1.1b}\n"
                         "axes:\n  strategy: [ddp, zero2, zero3, fsdp, zero3-offload]\n"
                         "  checkpointing: [none, full]\n  micro-batch: [1, 4, 16, 64]\n  seq-len: [1k, 4k]\n";
  check_in_browser({
      page("sweep", "sweep '" + spec + "'"),
      page("plan", "plan --tokens 100M --systems 1xA100,4xA100,8xRTX-4090,dgx-h100 --format html" + small),
  });
}

TEST_CASE("a sweep becomes a page by its ending or by --format") {
  const std::string spec = scratch().file("two.yaml");
  std::ofstream(spec)
      << "base: {topology: 2xA100, model: tinyllama-1.1b, seq-len: 512}\naxes:\n  strategy: [ddp, zero3]\n";
  CHECK(contents(page("by-ending", "sweep '" + spec + "'")).starts_with("<!doctype html>"));
  const std::string file = scratch().file("by-format.txt");
  CHECK(run("sweep '" + spec + "' -q --format html -o '" + file + "'").status == 0);
  CHECK(contents(file).starts_with("<!doctype html>"));
  const Run unknown = run("sweep '" + spec + "' --format htm -o x.html");
  CHECK(unknown.status == 2);
  CHECK(unknown.err.find("html") != std::string::npos);
}

TEST_CASE("a page needs nothing from outside and says what was run") {
  const std::string text = contents(page("alone", "--topology 2xA100 --strategy ddp --format html" + small));
  CHECK(text.starts_with("<!doctype html>"));
  CHECK(text.find("shardsim --topology 2xA100 --strategy ddp --format html --model tinyllama-1.1b") !=
        std::string::npos);
  for (const std::string outside : {"src=", "href=\"http", "@import", "url("}) {
    INFO(outside);
    CHECK(text.find("<script " + outside) == std::string::npos);
    CHECK(text.substr(0, text.find("</style>")).find(outside) == std::string::npos);
  }
  CHECK(text.size() < 3'000'000);
  const std::string again = contents(page("alone", "--topology 2xA100 --strategy ddp --format html" + small));
  CHECK(text == again);
}

TEST_CASE("verbs without a page say which forms they have") {
  for (const std::string verb : {"explain", "advise"}) {
    const Run made = run(verb + " --topology 2xA100 --strategy ddp --format html" + small);
    CHECK(made.status == 2);
    CHECK(made.err.find("--format") != std::string::npos);
  }
}
