// What a source's own scripts set is filled into its rows, and what that makes of them.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "model/core/error.hpp"
#include "request/contains.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/simulate.hpp"
#include "sim/validation/source_settings.hpp"

using namespace shardsim;

namespace {

const DataFolders source = {SHARDSIM_SOURCE "/model/zoo", SHARDSIM_SOURCE "/topologies",
                            SHARDSIM_SOURCE "/tests/published"};

std::vector<SourceSetting> settings_of(const std::string& rows) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("shardsim-sources-" + std::to_string(::getpid()) + ".csv");
  std::ofstream(path) << "source,when,option,value,because\n" << rows;
  std::vector<SourceSetting> settings;
  try {
    settings = read_source_settings(path);
  } catch (...) {
    std::filesystem::remove(path);
    throw;
  }
  std::filesystem::remove(path);
  return settings;
}

std::string refusal_of(const std::string& rows) {
  try {
    settings_of(rows);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

MeasuredRuns one_run(const std::string& from, OptionTexts options, const std::string& notes = "") {
  MeasuredRuns runs;
  MeasuredRun run;
  run.id = "1";
  run.source = from;
  run.notes = notes;
  run.options = std::move(options);
  runs.runs.push_back(std::move(run));
  return runs;
}

std::string value_of(const MeasuredRuns& runs, const std::string& option) {
  const auto found = runs.runs.front().options.find(option);
  return found == runs.runs.front().options.end() ? "" : found->second.value;
}

double allocated(const std::vector<std::string>& words) {
  return static_cast<double>(simulate(parse_request(words), source).devices.front().peak_allocated_bytes);
}

/// Llama 3 8B, LoRA over bf16 weights under FSDP1 on 2 A100, as fms-acceleration ran it.
double llama_lora(const std::string& micro_batch) {
  return allocated({"--topology",       "2xA100-SXM4-80GB",
                    "--model",          SHARDSIM_SOURCE "/tests/published/models/llama-3-8b.json",
                    "--strategy",       "fsdp1",
                    "--precision",      "bf16-mixed",
                    "--peft",           "lora",
                    "--lora-targets",   "q_proj,k_proj,v_proj,o_proj",
                    "--lora-dropout",   "0.1",
                    "--implementation", "foak",
                    "--loss",           "fused",
                    "--checkpointing",  "full",
                    "--optimizer-impl", "foreach",
                    "--micro-batch",    micro_batch});
}

}  // namespace

TEST_CASE("a source's settings fill what its rows leave open") {
  const auto settings = settings_of(
      "here,,lora-dropout,0.1,a\nhere,peft=qlora,quantization,nf4,b\nhere,notes~by hand; "
      "peft=lora,kbit-upcast,off,c\n");
  MeasuredRuns runs = one_run("here: table 1", {{"peft", {"lora", "1"}}}, "run by hand");
  apply_source_settings(runs, settings);
  CHECK(value_of(runs, "lora-dropout") == "0.1");
  CHECK(value_of(runs, "kbit-upcast") == "off");
  CHECK(value_of(runs, "quantization").empty());

  MeasuredRuns told = one_run("here", {{"lora-dropout", {"0.3", "1"}}});
  apply_source_settings(told, settings);
  CHECK(value_of(told, "lora-dropout") == "0.3");

  MeasuredRuns other = one_run("there", {});
  apply_source_settings(other, settings);
  CHECK(value_of(other, "lora-dropout").empty());
}

TEST_CASE("a condition on the option itself reads it otherwise") {
  const auto settings = settings_of("here,implementation=liger,implementation,foak,own kernels\n");
  MeasuredRuns runs = one_run("here", {{"implementation", {"liger", "1"}}});
  apply_source_settings(runs, settings);
  CHECK(value_of(runs, "implementation") == "foak");
  MeasuredRuns plain = one_run("here", {{"implementation", {"hf", "1"}}});
  apply_source_settings(plain, settings);
  CHECK(value_of(plain, "implementation") == "hf");
}

TEST_CASE("a value that names a file beside the table is that file") {
  const auto settings = read_source_settings(SHARDSIM_SOURCE "/tests/published/sources.csv");
  MeasuredRuns runs = one_run("foundation-model-stack/fms-acceleration",
                              {{"model", {SHARDSIM_SOURCE "/tests/published/models/mistral-7b.json", "1"}}});
  apply_source_settings(runs, settings);
  CHECK(value_of(runs, "model") == SHARDSIM_SOURCE "/tests/published/models/mistral-7b-padded.json");
}

// 128 256 words: the shifted copy's segment, rounded up to 2 MiB, has room for the gradient of all logits, which
// follows it; 128 258: it has not, and the gradient needs a segment of its own (measured: fms-169 and 177).
TEST_CASE("two more words take a segment of fp32 logits") {
  const auto reserved = [](const std::string& model) {
    const Report report =
        simulate(parse_request({"--topology",       "1xA100-SXM4-80GB",
                                "--strategy",       "single",
                                "--model",          SHARDSIM_SOURCE "/tests/published/models/" + model,
                                "--precision",      "bf16-mixed",
                                "--peft",           "qlora",
                                "--checkpointing",  "full",
                                "--loss",           "plain",
                                "--implementation", "foak",
                                "--micro-batch",    "4",
                                "--seq-len",        "4096",
                                "--transformers",   "4.45",
                                "--use-reentrant",  "on"}),
                 source);
    return static_cast<double>(report.devices.front().peak_reserved_bytes);
  };
  const double logits = 4.0 * 4 * 4096 * 128258;
  CHECK((reserved("llama-3-8b-padded.json") - reserved("llama-3-8b.json")) / logits == Approx(1).margin(0.02));
}

TEST_CASE("settings that say nothing are refused with their line") {
  CHECK_THAT(refusal_of("here,,lora-droput,0.1,a\n"), Contains("lora-droput") && Contains(":2"));
  CHECK_THAT(refusal_of("here,peft,lora-dropout,0.1,a\n"), Contains("no condition"));
  CHECK_THAT(refusal_of("here,lora-dropout,0.1\n"), Contains("3 fields"));
  CHECK(read_source_settings("/nowhere/sources.csv").empty());
  CHECK(read_source_settings(source.published / "sources.csv").size() > 10);
}

// fms-acceleration, scripts/benchmarks/refs/a100_80gb_liger.csv, 2 GPUs: 23.384, 36.072 and 61.449 GB for 4, 8 and 16
// sequences, which is 189 times the hidden size a token: 2 a layer for its input, 2 for that input's gradient, and 61
// to 63 for the layer that runs.
TEST_CASE("frozen FSDP1 units hold layers' inputs and gradients, as measured") {
  const double four = llama_lora("4"), eight = llama_lora("8");
  CHECK(four == Approx(23.384e9).epsilon(0.015));
  CHECK(eight == Approx(36.072e9).epsilon(0.015));
  CHECK((eight - four) / (4 * 4096 * 4096.0) == Approx(189.07).epsilon(0.015));
}

TEST_CASE("non-reentrant checkpoints let them go") {
  const std::vector<std::string> words = {
      "--topology", "2xA100",          "--model", "mistral-7b",    "--strategy", "fsdp1",  "--peft",
      "lora",       "--checkpointing", "full",    "--micro-batch", "4",          "--loss", "fused"};
  std::vector<std::string> other = words;
  other.insert(other.end(), {"--use-reentrant", "off"});
  const double hidden_states = 4 * 4096 * 4096.0 * 2;  // of all tokens, 16 bits
  const double layers = 32;
  // 32 inputs are there at the last layer's backward either way; at the first layer's, inputs and gradients of all.
  CHECK((allocated(words) - allocated(other)) / hidden_states == Approx(layers).margin(2));
}
