// The slips of tired people, each told in one line: what, where, and what would be right.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "cli/program.hpp"
#include "cli/sweep.hpp"
#include "request/contains.hpp"

namespace {

const std::string small = "--topology 4xA100 --strategy zero3 --model gpt2 --seq-len 512";

void check_slip(const std::string& arguments, const std::string& said) {
  INFO(arguments);
  const Run result = run(arguments);
  CHECK(result.status == 2);
  CHECK(result.out.empty());
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  CHECK_THAT(result.err, Contains(said));
}

const std::string box =
    "graph box {\n"
    "  numa0 [kind=numa, cpu=\"EPYC-7742\", dram=\"512 GiB\", memory_bandwidth=\"204.8 GB/s\"];\n"
    "  gpu0 [kind=gpu, device=\"A100-PCIE-40GB\"];\n"
    "  gpu0 -- numa0 [link=pcie4x16];\n}\n";

}  // namespace

TEST_CASE("What a hub calls a model names the shipped one that is nearest") {
  check_slip("--topology 4xA100 --strategy zero3 --model Qwen/Qwen2.5-7B", "such as qwen2.5-7b\n");
  check_slip("--topology 4xA100 --strategy zero3 --model Qwen/Qwen2.5-7B-Instruct", "such as qwen2.5-7b\n");
  check_slip("--topology 4xA100 --strategy zero3 --model my/llama-3-8b/config.json", "such as llama-3-8b\n");
}

TEST_CASE("A file that cannot be read is said with the reason") {
  check_slip(small + " --config /no/such.conf", "cannot read '/no/such.conf': No such file or directory (--config)");
  check_slip(small + " --config /tmp", "cannot read '/tmp': Is a directory (--config)");
}

TEST_CASE("Text as Windows writes it is read, or refused by its name") {
  const std::string marked = write("marked.dot", "\xEF\xBB\xBF" + box);
  CHECK(run("--strategy single --model gpt2 --topology " + marked).status == 0);
  const std::string wide = write("wide.txt", std::string("\xFF\xFEG\0P\0U\0", 8));
  check_slip("--strategy zero3 --gpu A100 --topology @" + wide, "is text in UTF-16 (--topology)");
}

TEST_CASE("A topology without its count, its @ or its RTX") {
  check_slip("--strategy single --topology A100", "expected 1xA100, 8xA100 or 2x8xA100");
  check_slip("--strategy ddp --topology 8x4090", "such as 8xRTX-4090");
  const std::string matrix = write("box.txt", "\tGPU0\tGPU1\nGPU0\tX\tNV4\nGPU1\tNV4\tX\n");
  check_slip("--strategy ddp --gpu A100 --topology " + matrix, "or @FILE for what nvidia-smi topo -m or lstopo wrote");
  const std::string hosts = write("hosts", "worker-1 slots=8\nworker-1 slots=8\n");
  check_slip("--strategy ddp --gpu A100 --topology @" + hosts, "'worker-1' stands twice");
  const std::string bare = write("bare-hosts", "worker-1\nworker-2\n");
  check_slip("--strategy ddp --gpu A100 --topology @" + bare, "worker-1 slots=8");
}

TEST_CASE("An option without its value says which values it has") {
  check_slip(small + " --compile", "--compile has no value; expected --compile on|off");
  check_slip(small + " --gpu --no-color", "--gpu has no value; expected --gpu DEVICE");
}

TEST_CASE("One program's settings in another's option") {
  const std::string zero = write("ds.json", R"({"zero_optimization": {"stage": 3}})");
  check_slip("--topology 4xA100 --accelerate " + zero, "this is a configuration of DeepSpeed");
  const std::string csv = write("semicolons.csv", "id;topology;strategy\n\"a\";4xA100;zero3\n");
  check_slip("validate " + csv, "semicolons stand between the columns");
  check_slip("list gpus", "there is no list of 'gpus'; expected models, devices, ");
}

TEST_CASE("A tab in YAML is called a tab, in every file") {
  const std::string tab = "line 2 is indented by a tab";
  check_slip("sweep -o x " + write("tab.yaml", "axes:\n\tstrategy: [zero2]\n\tcompile: [on]\n"), tab);
  check_slip("--topology 4xA100 --accelerate " + write("tab-accelerate.yaml", "fsdp_config:\n\tfsdp_version: 2\n"),
             tab);
  check_slip("--topology 4xA100 --strategy ddp --gpu " + write("tab-gpu.yaml", "kind: gpu\n\tmemory: {value: 3}\n"),
             tab);
}

TEST_CASE("A sweep whose output cannot be a file beside its journals makes nothing") {
  check_slip("sweep " + spec() + " -o " + scratch().file("none/points.jsonl"), "there is no folder");
  CHECK_FALSE(std::filesystem::exists(scratch().file("none")));
  check_slip("sweep " + spec() + " -o -", "stdout keeps nothing");
}

TEST_CASE("A sweep's counts and its best read as sentences") {
  const std::string two =
      write("two.yaml", "base: {model: llama-2-7b, strategy: single}\naxes: {topology: [1xT4, 1xL4, 1xB300]}\n");
  const Run swept = run("sweep " + two + " -o " + fresh("two.jsonl"));
  CHECK_THAT(swept.out, Contains("3 points, 1 fits, 2 do not fit\n"));
  CHECK_THAT(swept.err, Contains(", best memory ") && Contains(" GiB at 2\n"));
}

TEST_CASE("A rank that has found nothing yet is not the best") {
  if (!has_mpirun()) return;
  const std::string two =
      write("ranks.yaml", "base: {model: gpt2, strategy: ddp, topology: 2xA100}\naxes: {micro-batch: [1, 2]}\n");
  const std::string err = scratch().file("ranks.err");
  const std::string command = mpirun + "2 '" SHARDSIM_PROGRAM "' sweep " + two + " --threads 1 -o " +
                              fresh("ranks.jsonl") + " >/dev/null 2>'" + err + "'";
  REQUIRE(std::system(command.c_str()) == 0);
  CHECK_THAT(contents(err), Contains("best memory ") && !Contains("best memory 0"));
}

TEST_CASE("mpirun lends a terminal where there is none: no colour") {
  if (!has_mpirun()) return;
  const std::string out = scratch().file("ranked");
  const std::string command =
      "env -u NO_COLOR TERM=xterm " + mpirun + "1 '" SHARDSIM_PROGRAM "' " + small + " >'" + out + "'";
  REQUIRE(std::system(command.c_str()) == 0);
  CHECK_THAT(contents(out), Contains("FITS") && !Contains("\033"));
}

TEST_CASE("The output - is stdout, and a name that promises another format is warned of") {
  CHECK(run(small + " -o -").out == run(small).out);
  const std::string file = scratch().file("plain.json");
  CHECK_THAT(run(small + " -o " + file).err, Contains("holds plain text; --format json makes it"));
  CHECK(run(small + " -q -o " + file).err.empty());
  CHECK(run(small + " --format csv -o " + file).err.empty());
}

TEST_CASE("A sequence longer than the model is made for is warned of") {
  const std::string llama = "--topology 4xA100 --strategy zero3 --model llama-2-7b --seq-len ";
  CHECK_THAT(run(llama + "8192").err, Contains("8192 tokens are longer than the 4096 that llama-2-7b is made for"));
  CHECK(run(llama + "4096").err.empty());
}

TEST_CASE("A link is of a kind that the contract names") {
  const auto report = nlohmann::json::parse(run("--topology 8xRTX-4090 --strategy ddp --model gpt2 --format json").out);
  REQUIRE_FALSE(report["links"].empty());
  for (const auto& link : report["links"]) {
    const std::string kind = link["kind"];
    INFO(link.dump());
    CHECK((kind == "nvlink" || kind == "pcie" || kind == "nic" || kind == "network" || kind == "memory" ||
           kind == "nvme"));
  }
}

TEST_CASE("Advice that fits by a hair says so, and no answer stands in it twice") {
  const std::string request = "advise --topology 8xRTX-4090 --strategy ddp --model mistral-7b";
  const Run advice = run(request);
  CHECK(advice.status == 0);
  const auto json = nlohmann::json::parse(run(request + " --format json").out);
  const auto& chosen = json["ladder"][json["chosen"].get<std::size_t>()];
  for (const auto& rung : json["ladder"]) CHECK((rung == chosen || rung["command"] != chosen["command"]));
  REQUIRE(chosen["peak_used_bytes"].get<double>() > 0.97 * chosen["capacity_bytes"].get<double>());
  CHECK(chosen["tight"] == true);
  CHECK_THAT(advice.out, Contains("TIGHT: one measured run in ten"));
}

TEST_CASE("A plan marks what fits by a hair, and its energy is that of its table") {
  const std::string request = "plan --model llama-3-70b --tokens 1B --systems g5.48xlarge --most-nodes 32";
  const Run plan = run(request);
  CHECK(plan.status == 0);
  CHECK_THAT(plan.out, Contains(" GiB (tight), ") && Contains("tight: one measured run"));
  const auto offer = nlohmann::json::parse(run(request + " --format json").out)["offers"][0];
  CHECK(offer["tight"] == true);
  CHECK(offer["energy_kWh"].get<double>() ==
        Approx(offer["watts"].get<double>() / 1000 * offer["run_hours"].get<double>()));
}

TEST_CASE("help all has the options of every verb") { CHECK_THAT(run("help all").out, Contains("--topology MACHINE")); }

TEST_CASE("A plan takes whole nodes and whole rows") {
  const std::string plan = "plan --model gpt2 --tokens 1M --systems dgx-a100";
  check_slip(plan + " --most-nodes 0.5", "'0.5' is no whole number (--most-nodes)");
  check_slip(plan + " --rows 1.5", "'1.5' is no whole number (--rows)");
}

TEST_CASE("A file's name may hold a quote, or digits beyond counting, and advice is still to be pasted") {
  const std::string quoted = write("it's.dot", box);
  const Run advice = run("advise --strategy single --model gpt2 --seq-len 512 --topology \"" + quoted + "\"");
  CHECK(advice.status == 0);
  CHECK_THAT(advice.out, Contains("it'\\''s.dot' --strategy single"));
  const std::string folder = std::filesystem::path(write("99999999999xbox.dot", box)).parent_path().string();
  const Run none =
      run("advise --strategy single --model llama-3.1-405b --topology 99999999999xbox.dot", "-C " + folder);
  CHECK(none.status == 1);
}
