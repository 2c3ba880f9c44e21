// What a finished sweep leaves beside its output, found when the same command is given again.
#include <fstream>

#include "fuzz/reader.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim::fuzz {

namespace {

void read(const Input& input) {
  const std::filesystem::path folder = input.file.parent_path();
  const std::filesystem::path spec = folder.parent_path() / "spec.yaml", output = folder.parent_path() / "out.jsonl";
  if (!std::filesystem::exists(spec)) {
    std::ofstream(spec) << "base: {topology: 1xA100, strategy: single, model: gpt2}\naxes: {micro-batch: [1]}\n";
  }
  const std::filesystem::path journals = output.string() + ".journal";
  std::filesystem::create_directories(journals);
  std::filesystem::rename(input.file, journals / "finished.json");
  std::ofstream{output};
  run_command_line("shardsim", {"sweep", spec.string(), "-o", output.string(), "-q"});
}

}  // namespace

const Added finished_mark({.name = "finished_mark",
                           .file_name = "finished.json",
                           .seeds = {},
                           .read = read,
                           .own_seeds = {R"({"identity": "another sweep", "summary": "", "fits": true})"}});

}  // namespace shardsim::fuzz
