// The bytes that --save adapter writes are those of the tensors in the file that the real library saves, recorded by
// tests/oracle/adapters.py (peft 0.21.2, adapters 1.3.0); the file's own header, 100 B to 8 KB, is not counted.
#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "scenario.hpp"

using namespace shardsim;

namespace {

class SmallLlama {
 public:
  SmallLlama() {
    std::ofstream(path_) << R"({"model_type": "llama", "hidden_size": 256, "intermediate_size": 704,
        "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 3, "vocab_size": 512})";
  }
  SmallLlama(const SmallLlama&) = delete;
  SmallLlama& operator=(const SmallLlama&) = delete;
  ~SmallLlama() { std::filesystem::remove(path_); }

  double saved(const std::string& strategy, const std::string& precision, std::vector<std::string> more) const {
    more.insert(more.begin(), {"--topology", strategy == "single" ? "1xA100" : "2xA100", "--strategy", strategy,
                               "--model", path_, "--seq-len", "128", "--precision", precision, "--save", "adapter"});
    const auto planned = test::plan(more, Folding::off);
    double bytes = 0;
    for (const Program& program : planned.run.plan.programs) bytes += program.saved;
    return bytes;
  }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() / "shardsim_adapter_save.json").string();
};

}  // namespace

TEST_CASE("--save adapter writes as many bytes as the real library's file holds") {
  const SmallLlama model;
  const std::vector<std::string> rank_8 = {"--lora-rank", "8", "--lora-targets", "all-linear"};
  const auto with = [&](const std::string& peft) {
    std::vector<std::string> options = rank_8;
    options.insert(options.end(), {"--peft", peft});
    return options;
  };
  for (const std::string strategy : {"single", "ddp"}) {
    INFO(strategy);
    CHECK(model.saved(strategy, "bf16-mixed", with("lora")) == 448'512);
    CHECK(model.saved(strategy, "bf16", with("lora")) == 224'256);
    CHECK(model.saved(strategy, "bf16-mixed", with("qlora")) == 448'512);
    CHECK(model.saved(strategy, "bf16-mixed", with("dora")) == 477'696);
    CHECK(model.saved(strategy, "bf16", with("dora")) == 238'848);
    CHECK(model.saved(strategy, "bf16-mixed", with("qdora")) == 477'696);
    CHECK(model.saved(strategy, "bf16-mixed", {"--peft", "lora", "--lora-rank", "8"}) == 86'016);
    CHECK(model.saved(strategy, "bf16-mixed", {"--peft", "prompt"}) == 20'480);
    CHECK(model.saved(strategy, "bf16-mixed", {"--peft", "adapter"}) == 203'136);
    CHECK(model.saved(strategy, "bf16", {"--peft", "adapter"}) == 101'568);
  }
}
