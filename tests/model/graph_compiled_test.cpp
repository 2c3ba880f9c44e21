// What one compiled decoder layer of the real modules keeps for backward, against the graph's figure. Measured on
// 2026-11-21 with torch 2.13 (CPU) and transformers 4.57.1: the layer's forward under torch.compile, backend
// aot_eager_decomp_partition (for llama inductor as well: the same tensors), torch.autograd.graph.saved_tensors_hooks
// around layer 1 of 3, each storage once, without parameters and what all three layers keep. Vocabulary 512,
// 2 sequences of 96 tokens, bf16. On the CPU layer_norm keeps bf16 statistics (8 B a token less here), and gpt2's
// buffer of its causal mask is left out.
#include <filesystem>
#include <fstream>
#include <string>

#include "catch.hpp"
#include "model/adapter.hpp"
#include "model/operators.hpp"

using namespace shardsim;

namespace {

Architecture read(const std::string& keys) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "shardsim_graph_compiled.json";
  std::ofstream(path) << "{" << keys << ", \"vocab_size\": 512}";
  const Architecture architecture = read_architecture(path);
  std::filesystem::remove(path);
  return architecture;
}

Graph graph_of(const Architecture& model, AttentionKind attention, bool compile,
               Implementation implementation = Implementation::hf) {
  GraphOptions options;
  options.micro_batch = 2;
  options.seq_len = 96;
  options.precision = Precision::bf16;
  options.attention = attention;
  options.compile = compile;
  options.implementation = implementation;
  return build_graph(model, options);
}

double saved(const Architecture& model, AttentionKind attention, Implementation implementation = Implementation::hf) {
  return static_cast<double>(saved_bytes_of_layer(graph_of(model, attention, true, implementation), model, 1));
}

const std::string llama = R"("model_type": "llama", "hidden_size": 256, "intermediate_size": 704,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 3)";

}  // namespace

TEST_CASE("saved bytes of a compiled layer are those of the real modules") {
  const Architecture model = read(llama);
  CHECK(saved(model, AttentionKind::sdpa) == 1503744);  // 8h + 4q + 4kv + 6f + 4a + 8 a token
  CHECK(saved(model, AttentionKind::sdpa, Implementation::torchtitan) == 1503744);
  CHECK(saved(model, AttentionKind::eager) == Approx(1900032).epsilon(0.005));
  const Architecture gemma = read(R"("model_type": "gemma", "hidden_size": 256, "intermediate_size": 704,
      "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 64, "num_hidden_layers": 3)");
  CHECK(saved(gemma, AttentionKind::sdpa) == Approx(1454592).epsilon(0.005));
  CHECK(saved(gemma, AttentionKind::eager) == Approx(1900032).epsilon(0.005));
  const Architecture qwen3 = read(R"("model_type": "qwen3", "hidden_size": 256, "intermediate_size": 704,
      "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "num_hidden_layers": 3)");
  CHECK(saved(qwen3, AttentionKind::sdpa) == Approx(1655808).epsilon(0.005));
  CHECK(saved(qwen3, AttentionKind::eager) == Approx(2052096).epsilon(0.005));
  const Architecture gpt2 = read(R"("model_type": "gpt2", "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0,
      "n_embd": 256, "n_head": 4, "n_positions": 512, "n_layer": 3)");
  CHECK(saved(gpt2, AttentionKind::sdpa) == Approx(1577472).epsilon(0.005));
}

// The same of LoRA of rank 16 (peft 0.21.2), bf16 base, with gradients from below; measured likewise, and eagerly. On
// the CPU rotary embedding and norms are transformers' own.
TEST_CASE("saved bytes of a layer with adapters are those of the real modules, compiled and not") {
  struct Case {
    std::vector<std::string> targets;
    bool fp32_adapters, autocast;
    double eager, compiled;
  };
  const std::vector<std::string> all = {"all-linear"}, two = {"q_proj", "v_proj"};
  for (const Case& measured : {Case{all, true, true, 2556416, 1794560}, Case{all, false, false, 2013696, 1546752},
                               Case{all, true, false, 3310080, 2253312}, Case{two, true, true, 1741312, 1176064},
                               Case{two, false, false, 1614336, 1147392}, Case{two, true, false, 1921536, 1257984}}) {
    Peft peft;
    peft.kind = PeftKind::lora;
    peft.targets = measured.targets;
    peft.fp32_adapters = measured.fp32_adapters;
    const Architecture model = apply_adapter(read(llama), peft);
    GraphOptions options;
    options.micro_batch = 2;
    options.seq_len = 96;
    options.precision = Precision::bf16;
    options.attention = AttentionKind::sdpa;
    options.autocast = measured.autocast;
    options.input_requires_gradient = true;
    INFO(measured.targets.front() << " fp32 " << measured.fp32_adapters << " autocast " << measured.autocast);
    CHECK(static_cast<double>(saved_bytes_of_layer(build_graph(model, options), model, 1)) ==
          Approx(measured.eager).epsilon(0.005));
    options.compile = true;
    CHECK(static_cast<double>(saved_bytes_of_layer(build_graph(model, options), model, 1)) ==
          Approx(measured.compiled).epsilon(0.005));
  }
}

TEST_CASE("a compiled Llama layer launches one kernel a product and one a fused chain") {
  const Architecture model = read(llama);
  const auto launches = [&](bool compile) {
    const Graph graph = graph_of(model, AttentionKind::flash, compile);
    std::size_t products = 0, others = 0;
    double bytes = 0;
    for (const Operator& op : graph.operators) {
      if (model.module(op.module).layer != 1) continue;
      for (const Kernel& kernel : op.forward) {
        ++(kernel.kind == KernelKind::memory ? others : products);
        bytes += kernel.kind == KernelKind::memory ? kernel.bytes : 0;
      }
    }
    return std::tuple(products, others, bytes);
  };
  const auto [products, chains, bytes] = launches(true);
  const auto [eager_products, kernels, eager_bytes] = launches(false);
  CHECK(products == 8);  // seven projections and attention
  CHECK(products == eager_products);
  CHECK(chains == 6);  // norm; rotations of q and k; sum and norm; gate; sum
  CHECK(kernels == 30);
  // norm 2h + 2h, rotations 4q + 4kv, sum and norm 3 * 2h + 2h, gate 6f, sum 6h; and cos, sin, row statistics.
  const double tokens = 192;
  CHECK(bytes == Approx(tokens * (4 * 256 + 4 * 256 + 4 * 128 + 8 * 256 + 6 * 704 + 6 * 256)).epsilon(0.03));
  CHECK(eager_bytes > 3 * bytes);
}
