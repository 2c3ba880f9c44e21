#include <algorithm>
#include <fstream>
#include <map>
#include <string>

#include "catch.hpp"
#include "model/architecture.hpp"
#include "model/config_text.hpp"

using namespace shardsim;

namespace {

const std::filesystem::path zoo = std::filesystem::path(SHARDSIM_SOURCE) / "model" / "zoo";

// What sum(p.numel() for p in model.parameters()) says of each model that transformers 4.57.1 builds from the same
// config.json on the meta device (torch 2.13; names and shapes were compared as well). Most are also the published
// counts of the checkpoints on the Hugging Face hub.
const std::map<std::string, std::int64_t> published_counts = {{"bloom-176b", 176247271424},
                                                              {"bloom-1b1", 1065314304},
                                                              {"bloom-1b7", 1722408960},
                                                              {"bloom-3b", 3002557440},
                                                              {"bloom-560m", 559214592},
                                                              {"bloom-7b1", 7069016064},
                                                              {"codellama-34b", 33743970304},
                                                              {"deepseek-v3", 671026404352},
                                                              {"falcon-180b", 178557088768},
                                                              {"falcon-40b", 41303293952},
                                                              {"falcon-7b", 6921720704},
                                                              {"gemma-2-27b", 27227128320},
                                                              {"gemma-2-2b", 2614341888},
                                                              {"gemma-2-9b", 9241705984},
                                                              {"gemma-2b", 2506172416},
                                                              {"gemma-3-12b", 11766034176},
                                                              {"gemma-3-1b", 999885952},
                                                              {"gemma-3-27b", 27009346304},
                                                              {"gemma-3-4b", 3880263168},
                                                              {"gemma-7b", 8537680896},
                                                              {"gpt-neox-20b", 20554567680},
                                                              {"gpt2-large", 774030080},
                                                              {"gpt2-medium", 354823168},
                                                              {"gpt2-xl", 1557611200},
                                                              {"gpt2", 124439808},
                                                              {"gpt3-175b", 174604259328},
                                                              {"llama-13b", 13015864320},
                                                              {"llama-2-13b", 13015864320},
                                                              {"llama-2-70b", 68976648192},
                                                              {"llama-2-7b", 6738415616},
                                                              {"llama-3-70b", 70553706496},
                                                              {"llama-3-8b", 8030261248},
                                                              {"llama-3.1-405b", 405853388800},
                                                              {"llama-3.1-70b", 70553706496},
                                                              {"llama-3.1-8b", 8030261248},
                                                              {"llama-3.2-1b", 1235814400},
                                                              {"llama-3.2-3b", 3212749824},
                                                              {"llama-3.3-70b", 70553706496},
                                                              {"llama-30b", 32528943616},
                                                              {"llama-33b", 32528943616},
                                                              {"llama-65b", 65285660672},
                                                              {"llama-7b", 6738415616},
                                                              {"mistral-7b-v0.3", 7248023552},
                                                              {"mistral-7b", 7241732096},
                                                              {"mistral-nemo", 12247782400},
                                                              {"mixtral-8x22b", 140630071296},
                                                              {"mixtral-8x7b", 46702792704},
                                                              {"mpt-30b", 29957200896},
                                                              {"mpt-7b", 6649286656},
                                                              {"opt-1.3b", 1315758080},
                                                              {"opt-125m", 125239296},
                                                              {"opt-13b", 12853473280},
                                                              {"opt-175b", 174604468224},
                                                              {"opt-2.7b", 2651596800},
                                                              {"opt-30b", 29974540288},
                                                              {"opt-350m", 331196416},
                                                              {"opt-6.7b", 6658473984},
                                                              {"opt-66b", 65719701504},
                                                              {"phi-3-medium", 13960238080},
                                                              {"phi-3-mini", 3821079552},
                                                              {"pythia-1.4b", 1414647808},
                                                              {"pythia-12b", 11846072320},
                                                              {"pythia-160m", 162322944},
                                                              {"pythia-1b", 1011781632},
                                                              {"pythia-2.8b", 2775208960},
                                                              {"pythia-410m", 405334016},
                                                              {"pythia-6.9b", 6857302016},
                                                              {"pythia-70m", 70426624},
                                                              {"qwen2.5-0.5b", 494032768},
                                                              {"qwen2.5-1.5b", 1543714304},
                                                              {"qwen2.5-14b", 14770033664},
                                                              {"qwen2.5-32b", 32763876352},
                                                              {"qwen2.5-3b", 3085938688},
                                                              {"qwen2.5-72b", 72706203648},
                                                              {"qwen2.5-7b", 7615616512},
                                                              {"qwen3-0.6b", 596049920},
                                                              {"qwen3-1.7b", 1720574976},
                                                              {"qwen3-14b", 14768307200},
                                                              {"qwen3-235b-a22b", 235093634560},
                                                              {"qwen3-30b-a3b", 30532122624},
                                                              {"qwen3-32b", 32762123264},
                                                              {"qwen3-4b", 4022468096},
                                                              {"qwen3-8b", 8190735360},
                                                              {"smollm2-1.7b", 1711376384},
                                                              {"smollm2-135m", 134515008},
                                                              {"smollm2-360m", 361821120},
                                                              {"tinyllama-1.1b", 1100048384},
                                                              {"yi-34b", 34388917248},
                                                              {"yi-6b", 6061035520}};

std::string load_refusal(std::string_view name) {
  try {
    load_architecture(name, zoo);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("every shipped model has exactly the parameters of the real one") {
  const std::vector<std::string> names = zoo_names(zoo);
  CHECK(names.size() == published_counts.size());
  CHECK(std::is_sorted(names.begin(), names.end()));
  for (const std::string& name : names) {
    INFO(name);
    const Architecture model = load_architecture(name, zoo);
    REQUIRE(published_counts.contains(name));
    CHECK(model.parameter_count() == published_counts.at(name));
    CHECK(model.name == name);
    CHECK(model.layer_modules().size() == static_cast<std::size_t>(model.dims.layers));
  }
}

TEST_CASE("every shipped model is a well-formed tree") {
  for (const std::string& name : zoo_names(zoo)) {
    INFO(name);
    const Architecture model = load_architecture(name, zoo);
    std::vector<int> owners(model.parameters.size(), 0), callers(model.modules.size(), 0);
    bool parents_first = true, numels_hold = true;
    for (std::size_t i = 0; i < model.modules.size(); ++i) {
      const Module& module = model.modules[i];
      if (i > 0) parents_first = parents_first && module.parent.index() < i;
      for (const ModuleId child : module.children) {
        ++callers[child.index()];
        parents_first = parents_first && model.module(child).parent == ModuleId(i);
      }
      for (const ParameterId parameter : module.parameters) ++owners[parameter.index()];
    }
    for (const Parameter& parameter : model.parameters) {
      std::int64_t product = 1;
      for (const std::int64_t extent : parameter.shape) product *= extent;
      numels_hold = numels_hold && product == parameter.numel && product > 0;
    }
    CHECK(parents_first);
    CHECK(numels_hold);
    CHECK(std::count(callers.begin() + 1, callers.end(), 1) == static_cast<std::ptrdiff_t>(callers.size()) - 1);
    CHECK(*std::min_element(owners.begin(), owners.end()) == 1);
    // A tied embedding is the one parameter that two modules list.
    CHECK(std::count(owners.begin(), owners.end(), 2) == (model.dims.tied_embeddings ? 1 : 0));
  }
}

TEST_CASE("gpt3-175b follows from its paper") {
  const std::int64_t d = 12288, layers = 96, vocab = 50257, positions = 2048;
  const std::int64_t layer = 12 * d * d + 13 * d;
  CHECK(load_architecture("gpt3-175b", zoo).parameter_count() == (vocab + positions) * d + layers * layer + 2 * d);
}

TEST_CASE("a token of a mixture uses a part of it") {
  // mixtral: all but six of eight experts; deepseek-v3: 37B active, as its paper says.
  const Architecture mixtral = load_architecture("mixtral-8x7b", zoo);
  CHECK(mixtral.active_parameter_count() == mixtral.parameter_count() - 32 * 6 * 3 * 4096 * 14336ll);
  const Architecture deepseek = load_architecture("deepseek-v3", zoo);
  CHECK(deepseek.active_parameter_count() == deepseek.parameter_count() - 58 * 248 * 3 * 7168 * 2048ll);
  CHECK(deepseek.active_parameter_count() / 1'000'000'000 == 37);
  const Architecture dense = load_architecture("llama-2-7b", zoo);
  CHECK(dense.active_parameter_count() == dense.parameter_count());
}

TEST_CASE("names match without regard to case and punctuation, but numbers stay apart") {
  CHECK(load_architecture("LLaMA_2 7B", zoo).name == "llama-2-7b");
  CHECK(load_architecture("llama27b", zoo).name == "llama-2-7b");
  CHECK(load_architecture("Qwen2.5-7B", zoo).name == "qwen2.5-7b");
  CHECK(load_architecture("opt-13b", zoo).name == "opt-13b");
  CHECK(load_architecture("opt13b", zoo).name == "opt-13b");
  CHECK(load_architecture("OPT 1.3B", zoo).name == "opt-1.3b");
  CHECK(load_architecture("llama-3-1-8b", zoo).name == "llama-3.1-8b");
}

TEST_CASE("a name that nobody knows names its neighbours") {
  CHECK(contains(load_refusal("lama-2-7b"), "unknown model 'lama-2-7b'"));
  CHECK(contains(load_refusal("lama-2-7b"), "llama-2-7b"));
  CHECK(contains(load_refusal("mistral7b-v3"), "mistral-7b-v0.3"));
  CHECK(contains(load_refusal("meta-llama/Llama-2-7b-hf"), "no such file: 'meta-llama/Llama-2-7b-hf'"));
  CHECK(contains(load_refusal("meta-llama/Llama-2-7b-hf"), "such as llama-2-7b"));
  CHECK(contains(load_refusal("missing.json"), "no such file: 'missing.json'"));
  CHECK(contains(load_refusal(""), "unknown model ''"));
  CHECK_THROWS_AS(load_architecture("llama-2-7b", zoo / "nowhere"), InputError);
  CHECK(zoo_names(zoo / "nowhere").empty());
}

TEST_CASE("a path to a config, or to a folder with one, is read as a file") {
  const ConfigFolder folder;
  std::ifstream shipped(zoo / "gpt2.json");
  const std::string text((std::istreambuf_iterator<char>(shipped)), std::istreambuf_iterator<char>());
  const std::filesystem::path file = folder.write(text);
  CHECK(load_architecture(file.string(), zoo).parameter_count() == 124439808);
  CHECK(load_architecture(file.string(), zoo).name == file.string());
  CHECK(load_architecture(folder.path().string(), zoo).parameter_count() == 124439808);
  CHECK(read_architecture(folder.path(), "mine").name == "mine");
}

TEST_CASE("loading a shipped model opens no other file") {
  const ConfigFolder folder;
  std::filesystem::copy(zoo / "gpt2.json", folder.path() / "gpt2.json");
  folder.write("{ broken", "gpt2-medium.json");
  CHECK(load_architecture("gpt2", folder.path()).parameter_count() == 124439808);
  CHECK_THROWS_AS(load_architecture("gpt2-medium", folder.path()), InputError);
}
