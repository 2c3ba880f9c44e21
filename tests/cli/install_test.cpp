// What `cmake --install` leaves works from anywhere: the program, its data, the man page, the shells' completions.
#include <algorithm>

#include "catch.hpp"
#include "cli/program.hpp"
#include "request/contains.hpp"

namespace {

namespace fs = std::filesystem;

/// What a shell's command line says on stdout; its stderr is the test's.
std::string said(const std::string& command) {
  const std::string out = scratch().file("said");
  const int status = std::system((command + " >'" + out + "'").c_str());
  INFO(command);
  CHECK(status == 0);
  return contents(out);
}

bool has(const std::string& program) {
  if (std::system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0) return true;
  WARN(program + " is not installed: what it needs is not tried");
  return false;
}

/// Installed into an empty folder, and that folder then moved.
const fs::path& prefix() {
  static const fs::path moved = [] {
    const std::string first = scratch().file("installed");
    const fs::path second = scratch().file("moved elsewhere");
    REQUIRE(std::system((SHARDSIM_INSTALL " --prefix '" + first + "' >/dev/null").c_str()) == 0);
    fs::rename(first, second);
    return second;
  }();
  return moved;
}

std::string quoted(const fs::path& path) { return "'" + path.string() + "'"; }

/// The installed program, run in a folder that has nothing to do with it.
std::string installed(const std::string& arguments) {
  return said("cd / && env -u SHARDSIM_DATA " + quoted(prefix() / "bin/shardsim") + " " + arguments);
}

const std::string main_job = "--topology 4xA100 --strategy zero3-offload --format json";

}  // namespace

TEST_CASE("An installed and moved program says what the built one says") {
  CHECK(installed(main_job) == run(main_job).out);
  CHECK(installed("list systems") == run("list systems").out);
  const std::string job = "plan --model gpt2 --tokens 1M --seq-len 512 --systems dgx-a100 -q";
  CHECK(installed(job) == run(job).out);
}

TEST_CASE("An installed program takes its data from beside itself") {
  const fs::path zoo = prefix() / "share/shardsim/model/zoo";
  fs::copy_file(zoo / "gpt2.json", zoo / "only-here.json");
  CHECK_THAT(installed("list models"), Contains("\nonly-here\n"));
  CHECK_THAT(installed("--topology 1xA100 --strategy single --model only-here --seq-len 512"), Contains("FITS"));
  // Ranges come from the published runs.
  CHECK_THAT(installed(main_job), Contains("\"peak_used_range_bytes\": ["));
  fs::remove(zoo / "only-here.json");
}

TEST_CASE("The examples and what there is to read come along") {
  CHECK(fs::exists(prefix() / "share/shardsim/examples/main-job.conf"));
  CHECK(fs::exists(prefix() / "share/doc/shardsim/README.md"));
  CHECK(fs::exists(prefix() / "share/doc/shardsim/LICENSE"));
  CHECK_THAT(installed("--config " + quoted(prefix() / "share/shardsim/examples/main-job.conf")), Contains("FITS"));
}

TEST_CASE("The man page has every verb and every option of simulate") {
  if (!has("help2man")) return;
  std::string page = contents((prefix() / "share/man/man1/shardsim.1").string());
  std::erase(page, '\\');
  CHECK_THAT(page, Contains(".TH SHARDSIM"));
  for (const char* word : {"simulate", "calibrate", "--micro-batch", "--memory-snapshot", "--deadline", "NO_COLOR"}) {
    CHECK_THAT(page, Contains(word));
  }
}

TEST_CASE("bash completes") {
  if (!has("bash")) return;
  const fs::path script = prefix() / "share/bash-completion/completions/shardsim";
  const auto answers = [&](const std::string& words) {
    return "\n" + said("PATH=" + quoted(prefix() / "bin") + ":\"$PATH\" bash -c 'source \"" + script.string() +
                       "\"; COMP_WORDS=(shardsim " + words +
                       "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _shardsim shardsim; "
                       "((${#COMPREPLY[@]} == 0)) || printf \"%s\\n\" \"${COMPREPLY[@]}\"'");
  };
  CHECK_THAT(said("bash -c 'source \"" + script.string() + "\"; complete -p shardsim'"), Contains("-F _shardsim"));
  CHECK_THAT(answers("\"\""), Contains("\nsimulate\n") && Contains("\nsweep\n"));
  CHECK_THAT(answers("--micro"), Contains("\n--micro-batch\n"));
  CHECK_THAT(answers("plan --model llama-2-7"), Contains("\nllama-2-7b\n"));
  CHECK_THAT(answers("--strategy = zero3-nvme-p"), Contains("\nzero3-nvme-param\n"));
  CHECK(answers("--config \"\"") == "\n");
}

TEST_CASE("zsh completes") {
  if (!has("zsh")) return;
  // Its completion system calls the script with `words` and `CURRENT` set, and is called by it.
  const fs::path script = prefix() / "share/zsh/site-functions/_shardsim";
  const auto answers = [&](const std::string& words) {
    return "\n" +
           said("PATH=" + quoted(prefix() / "bin") + ":\"$PATH\" zsh -f -c 'words=(shardsim " + words +
                "); CURRENT=${#words}; _describe() { print -l -- \"${(@P)2}\" }; _files() { print FILES }; source \"" +
                script.string() + "\"'");
  };
  CHECK_THAT(answers("--micro"), Contains("\n--micro-batch:sequences a device works on"));
  CHECK_THAT(answers("--strategy zero3-nvme-p"), Contains("\nzero3-nvme-param\n"));
  CHECK_THAT(answers("--config x"), Contains("FILES"));
}

TEST_CASE("fish completes") {
  if (!has("fish")) return;
  const fs::path script = prefix() / "share/fish/vendor_completions.d/shardsim.fish";
  const auto answers = [&](const std::string& line) {
    return "\n" + said("HOME='" + scratch().file("home") + "' PATH=" + quoted(prefix() / "bin") +
                       ":\"$PATH\" fish --no-config -c 'source \"" + script.string() + "\"; complete -C \"shardsim " +
                       line + "\"'");
  };
  CHECK_THAT(answers("--micro"), Contains("\n--micro-batch\tsequences a device works on"));
  CHECK_THAT(answers("simulate --strategy zero3-nvme-p"), Contains("\nzero3-nvme-param"));
}
