// Figures that were measured or derived for the real modules, taken off the graph by generic walks.
#include "model/operators.hpp"

#include <algorithm>
#include <string>

#include "catch.hpp"
#include "graph_walk.hpp"
#include "model/core/error.hpp"

using namespace shardsim;
using Catch::Matchers::Contains;

namespace {

const std::filesystem::path zoo = std::filesystem::path(SHARDSIM_SOURCE) / "model" / "zoo";

Architecture llama_3_8b() { return load_architecture("llama-3-8b", zoo); }
Architecture llama_2_7b() { return load_architecture("llama-2-7b", zoo); }
Architecture gpt2() { return load_architecture("gpt2", zoo); }

GraphOptions options(std::int64_t seq = 1024, std::int64_t batch = 2) {
  GraphOptions chosen;
  chosen.micro_batch = batch;
  chosen.seq_len = seq;
  return chosen;
}

/// Bytes a token that layer 1 keeps for backward; `fixed` of them do not grow with the tokens.
std::int64_t saved(const Architecture& architecture, const GraphOptions& chosen, std::int64_t fixed = 0) {
  const std::int64_t bytes = saved_bytes_of_layer(build_graph(architecture, chosen), architecture, 1) - fixed;
  const std::int64_t tokens = chosen.micro_batch * chosen.seq_len;
  REQUIRE(bytes % tokens == 0);
  return bytes / tokens;
}

}  // namespace

TEST_CASE("a Llama block in bf16 keeps 16h + 4q + 4kv + 8f + 4a + 8 bytes a token") {
  for (const Architecture& model : {llama_3_8b(), llama_2_7b(), load_architecture("mistral-7b", zoo)}) {
    const Dimensions& d = model.dims;
    CAPTURE(model.name);
    const std::int64_t attention_and_mlp = 4 * d.q() + 4 * d.kv() + 8 * d.ffn + 4 * d.heads + 8;
    GraphOptions chosen = options();
    CHECK(saved(model, chosen) == 16 * d.hidden + attention_and_mlp);
    chosen.attention = AttentionKind::sdpa;
    CHECK(saved(model, chosen) == 16 * d.hidden + attention_and_mlp);
    chosen.precision = Precision::fp16_mixed;
    CHECK(saved(model, chosen) == 16 * d.hidden + attention_and_mlp);
    chosen.implementation = Implementation::torchtitan;
    CHECK(saved(model, chosen) == 8 * d.hidden + attention_and_mlp);
    chosen.implementation = Implementation::liger;  // and gate, up and their product alone of the mlp
    CHECK(saved(model, chosen) == 8 * d.hidden + attention_and_mlp - 2 * d.ffn);
  }
}

TEST_CASE("published multiples of the hidden size") {
  const Architecture three = llama_3_8b(), two = llama_2_7b();
  GraphOptions chosen = options();
  const auto in_hidden = [&](const Architecture& model) {
    return static_cast<double>(saved(model, chosen) - 4 * model.dims.heads - 8) /
           static_cast<double>(model.dims.hidden);
  };
  CHECK(in_hidden(three) == 49.0);
  CHECK(in_hidden(two) == Approx(45.5).margin(0.01));
  chosen.implementation = Implementation::torchtitan;
  CHECK(in_hidden(three) == 41.0);
  CHECK(in_hidden(two) == Approx(37.5).margin(0.01));
}

TEST_CASE("a Llama block in fp32: casts to fp32 are no copies") {
  const Architecture model = llama_3_8b();
  const Dimensions& d = model.dims;
  GraphOptions chosen = options();
  chosen.precision = Precision::fp32;
  CHECK(saved(model, chosen) == 24 * d.hidden + 8 * d.q() + 8 * d.kv() + 16 * d.ffn + 4 * d.heads + 8);
  chosen.implementation = Implementation::torchtitan;
  CHECK(saved(model, chosen) == 16 * d.hidden + 8 * d.q() + 8 * d.kv() + 16 * d.ffn + 4 * d.heads + 8);
}

TEST_CASE("eager attention keeps the softmax in fp32 and in bf16, and repeats keys and values") {
  const std::int64_t seq = 512;
  GraphOptions chosen = options(seq);
  chosen.attention = AttentionKind::eager;
  for (const Architecture& model : {llama_2_7b(), llama_3_8b()}) {
    const Dimensions& d = model.dims;
    CHECK(saved(model, chosen) == 16 * d.hidden + 8 * d.q() + 8 * d.ffn + 8 + 6 * d.heads * seq);
  }
  Architecture model = llama_2_7b();
  model.dims.attention_dropout = 0.1;  // the mask and the dropped weights instead of the cast
  const Dimensions& d = model.dims;
  CHECK(saved(model, chosen) == 16 * d.hidden + 8 * d.q() + 8 * d.ffn + 8 + 7 * d.heads * seq);
}

TEST_CASE("a GPT-2 block with each GELU and dropout") {
  Architecture model = gpt2();
  Dimensions& d = model.dims;
  const std::int64_t statistics = 16 + 4 * d.heads;  // mean and 1/std of two norms, log-sum-exp
  REQUIRE(d.ffn == 4 * d.hidden);
  REQUIRE(d.dropout > 0);
  CHECK(saved(model, options()) == 58 * d.hidden + statistics);
  d.activation = Activation::gelu_tanh;
  CHECK(saved(model, options()) == 34 * d.hidden + statistics);
  GraphOptions eager = options();
  eager.attention = AttentionKind::eager;
  const std::int64_t divisor = 2;  // of the scores, a tensor of one element
  CHECK(saved(model, eager, divisor) == 34 * d.hidden + 16 + 5 * d.heads * eager.seq_len);
  d.dropout = d.attention_dropout = 0;
  CHECK(saved(model, options()) == 32 * d.hidden + statistics);
  d.activation = Activation::gelu_new;
  CHECK(saved(model, options()) == 56 * d.hidden + statistics);
  GraphOptions fp32 = options();
  fp32.precision = Precision::fp32;
  CHECK(saved(model, fp32) == 2 * 56 * d.hidden + statistics);
}

TEST_CASE("norms over heads and Gemma's fp32 norms keep more") {
  const Architecture qwen = load_architecture("qwen3-4b", zoo);
  const Dimensions& d = qwen.dims;
  REQUIRE(d.qk_norm);
  const std::int64_t llama = 16 * d.hidden + 4 * d.q() + 4 * d.kv() + 8 * d.ffn + 4 * d.heads + 8;
  CHECK(saved(qwen, options()) == llama + 6 * (d.q() + d.kv()) + 4 * (d.heads + d.kv_heads));
  const Architecture gemma = load_architecture("gemma-2b", zoo);
  const Dimensions& g = gemma.dims;
  const std::int64_t weights_plus_one = 2 * 4 * g.hidden;
  CHECK(saved(gemma, options(), weights_plus_one) ==
        20 * g.hidden + 4 * g.q() + 4 * g.kv() + 8 * g.ffn + 4 * g.heads + 8);
}

TEST_CASE("a value cut from a fused projection keeps the whole of it, and concatenated heads cost a copy") {
  const Architecture phi = load_architecture("phi-3-mini", zoo);
  const Dimensions& d = phi.dims;
  REQUIRE(d.fused_qkv);
  GraphOptions chosen = options();
  CHECK(saved(phi, chosen) == 16 * d.hidden + 8 * d.q() + 6 * d.kv() + 8 * d.ffn + 4 * d.heads + 8);
  chosen.attention = AttentionKind::eager;
  chosen.seq_len = 512;
  CHECK(saved(phi, chosen) == 16 * d.hidden + 8 * d.q() + 8 * d.ffn + 8 + 6 * d.heads * 512);
}

TEST_CASE("a mixture of experts keeps what its visited experts computed") {
  const Architecture mixtral = load_architecture("mixtral-8x7b", zoo);
  const Dimensions& d = mixtral.dims;
  const std::int64_t k = d.experts->per_token, e = d.experts->count;
  // gathered input, expert's output and weighted output; softmax; chosen, shares in bf16, indices
  const std::int64_t routed = k * (6 * d.hidden + 8 * d.experts->ffn) + 4 * e + k * (4 + 2 + 8);
  CHECK(saved(mixtral, options()) == 16 * d.hidden + 4 * d.q() + 4 * d.kv() + 4 * d.heads + 8 + routed);
}

TEST_CASE("autocast: an fp32 residual stream, one bf16 copy for each product, and copies of the weights") {
  const Architecture model = llama_3_8b();
  const Dimensions& d = model.dims;
  GraphOptions chosen = options();
  chosen.precision = Precision::amp_bf16;
  const std::int64_t tokens = chosen.micro_batch * chosen.seq_len;
  const std::int64_t weights = d.hidden * (2 * d.q() + 2 * d.kv()) + 3 * d.hidden * d.ffn;
  const std::int64_t bytes = saved_bytes_of_layer(build_graph(model, chosen), model, 1) - 2 * weights;
  // two norms 8h each, five copies of their outputs 2h each
  CHECK(bytes == tokens * (26 * d.hidden + 4 * d.q() + 4 * d.kv() + 8 * d.ffn + 4 * d.heads + 8));
}

TEST_CASE("the loss peaks at 10 bytes a logit forward, keeps 4, and reaches 12 backward") {
  const Architecture model = llama_3_8b();
  const GraphOptions chosen = options(2048, 4);
  const double logits = static_cast<double>(chosen.micro_batch * chosen.seq_len * model.dims.vocab);
  const Graph graph = build_graph(model, chosen);
  test::Walk walk(graph);
  std::int64_t before_head = 0, peak = 0;
  walk.forward([&](const Operator& op, std::int64_t live) {
    if (op.name == "lm_head") before_head = live - graph.value(op.outputs.front()).bytes;
    if (op.name == "log_softmax") peak = live;
  });
  const auto per_logit = [&](std::int64_t bytes) { return static_cast<double>(bytes - before_head) / logits; };
  CHECK(per_logit(peak) == Approx(10).margin(0.01));
  const std::int64_t after = walk.live();
  CHECK(per_logit(after) == Approx(4).margin(0.01));
  std::int64_t worst = 0;
  walk.backward("nll_loss", [&](const Operator& op, std::int64_t live) {
    if (op.name == "log_softmax" || op.name == "nll_loss") worst = std::max(worst, live);
  });
  CHECK(static_cast<double>(worst - after) / logits == Approx(8).margin(0.01));
  CHECK(walk.live() == 0);
}

TEST_CASE("the plain loss keeps 16-bit logits and writes their gradient over them") {
  const Architecture model = llama_3_8b();
  GraphOptions chosen = options(2048, 4);
  chosen.loss = LossKind::plain;
  const double logits = static_cast<double>(chosen.micro_batch * chosen.seq_len * model.dims.vocab);
  const auto peak = [&](Implementation implementation, bool converts) {
    GraphOptions with = chosen;
    with.implementation = implementation;
    with.converts_outputs = converts;
    const Graph graph = build_graph(model, with);
    test::Walk walk(graph);
    std::int64_t before_head = 0, most = 0;
    walk.forward([&](const Operator& op, std::int64_t live) {
      if (op.name == "lm_head") before_head = live - graph.value(op.outputs.front()).bytes;
      most = std::max(most, live);
    });
    CHECK(static_cast<double>(walk.live() - before_head) / logits == Approx(2).margin(0.01));
    return static_cast<double>(most - before_head) / logits;
  };
  CHECK(peak(Implementation::torchtitan, false) == Approx(2).margin(0.01));
  CHECK(peak(Implementation::liger, false) == Approx(4).margin(0.01));
  CHECK(peak(Implementation::liger, true) == Approx(8).margin(0.01));
}

// fms-acceleration's allocated bytes grow by 8.1 bytes a logit in its runs on transformers 4.45 (tests/published/
// measured.csv: fms-169 and 170) and by 10 on 4.48 (fms-081 and 083), where the 16-bit logits are still the model's.
TEST_CASE("the losses of older transformers hold fp32 logits and a shifted copy of them") {
  const Architecture model = llama_3_8b();
  const auto peak = [&](Transformers version, LossKind loss, Implementation implementation) {
    GraphOptions chosen = options(2048, 4);
    chosen.transformers = version;
    chosen.loss = loss;
    chosen.implementation = implementation;
    const Graph graph = build_graph(model, chosen);
    test::Walk walk(graph);
    std::int64_t before_head = 0, most = 0;
    walk.forward([&](const Operator& op, std::int64_t live) {
      if (op.name == "lm_head") before_head = live - graph.value(op.outputs.front()).bytes;
      most = std::max(most, live);
    });
    return static_cast<double>(most - before_head) /
           static_cast<double>(chosen.micro_batch * chosen.seq_len * model.dims.vocab);
  };
  CHECK(peak(Transformers::v4_45, LossKind::plain, Implementation::foak) == Approx(8).margin(0.01));
  CHECK(peak(Transformers::v4_48, LossKind::plain, Implementation::foak) == Approx(10).margin(0.01));
  CHECK(peak(Transformers::v4_45, LossKind::eager, Implementation::hf) == Approx(12).margin(0.01));
  CHECK(peak(Transformers::v4_48, LossKind::eager, Implementation::hf) == Approx(14).margin(0.01));
}

TEST_CASE("torch 2.4 records a slice of all, and one sequence's shifted rows are no copy") {
  const Architecture model = llama_3_8b();
  const auto count = [&](Transformers version, std::int64_t micro_batch, std::string_view name) {
    GraphOptions chosen = options(128, micro_batch);
    chosen.transformers = version;
    chosen.loss = LossKind::plain;
    chosen.implementation = Implementation::foak;
    const Graph graph = build_graph(model, chosen);
    return std::count_if(graph.operators.begin(), graph.operators.end(),
                         [&](const Operator& op) { return op.name == name; });
  };
  CHECK(count(Transformers::v4_48, 1, "slice") == 2);
  CHECK(count(Transformers::v4_48, 1, "shift_logits") == 0);
  CHECK(count(Transformers::v4_48, 4, "slice") == 1);  // the copy's backward stands for the other
  CHECK(count(Transformers::v4_48, 4, "shift_logits") == 1);
  CHECK(count(Transformers::v4_57, 1, "slice") == 1);
  CHECK(count(Transformers::v4_57, 4, "slice") == 0);
}

TEST_CASE("FOAK fuses the adapters of a quantized base only") {
  const auto fused = [](PeftKind kind) {
    Peft peft;
    peft.kind = kind;
    const Architecture model = apply_adapter(llama_3_8b(), peft);
    GraphOptions chosen = options(128, 1);
    chosen.implementation = Implementation::foak;
    const Graph graph = build_graph(model, chosen);
    return std::count_if(graph.operators.begin(), graph.operators.end(),
                         [](const Operator& op) { return op.name == "lora"; });
  };
  CHECK(fused(PeftKind::qlora) == 2 * 32);
  CHECK(fused(PeftKind::lora) == 0);
}

TEST_CASE("a block's backward peaks 4f above what it keeps and the incoming gradient") {
  const Architecture model = llama_3_8b();
  const Dimensions& d = model.dims;
  GraphOptions chosen = options(2048, 1);
  chosen.implementation = Implementation::torchtitan;
  const Graph graph = build_graph(model, chosen);
  test::Walk walk(graph);
  walk.forward([](const Operator&, std::int64_t) {});
  std::int64_t start = 0, peak = 0;
  walk.backward("nll_loss", [&](const Operator& op, std::int64_t live) {
    if (model.module(op.module).layer != 31) return;
    if (start == 0) start = live;  // the residual sum hands the incoming gradient on: nothing new yet
    peak = std::max(peak, live);
  });
  CHECK(static_cast<double>(peak - start) / static_cast<double>(chosen.seq_len) ==
        Approx(static_cast<double>(4 * d.ffn)).epsilon(0.02));
}

TEST_CASE("forward work of Llama-3-8B at 8192 tokens") {
  const Architecture model = llama_3_8b();
  const GraphOptions chosen = options(8192, 1);
  const Graph graph = build_graph(model, chosen);
  double head = 0, products = 0, attention = 0, backward_attention = 0, backward_products = 0;
  for (const Operator& op : graph.operators) {
    for (const Kernel& kernel : op.forward) {
      if (kernel.kind == KernelKind::attention) attention += kernel.flops;
      if (kernel.kind == KernelKind::matmul) (op.name == "lm_head" ? head : products) += kernel.flops;
    }
    for (const auto* kernels : {&op.backward, &op.weight_backward}) {
      for (const Kernel& kernel : *kernels) {
        (kernel.kind == KernelKind::attention ? backward_attention : backward_products) += kernel.flops;
      }
    }
  }
  const double giga_tokens = 8192e9;
  CHECK(products / giga_tokens == Approx(13.96).margin(0.005));
  CHECK(head / giga_tokens == Approx(1.05).margin(0.005));
  CHECK(attention / giga_tokens == Approx(2.15).margin(0.005));
  CHECK(backward_attention == Approx(2.5 * attention));
  CHECK(backward_products == Approx(2 * (products + head)));
}

TEST_CASE("model FLOPs a token follow PaLM's convention") {
  const Architecture model = llama_3_8b();
  const Dimensions& d = model.dims;
  const double in_products = static_cast<double>(model.parameter_count() - d.vocab * d.hidden - 65 * d.hidden);
  CHECK(model_flops_per_token(model, 8192) == Approx(6 * in_products + 12.0 * 32 * 4096 * 8192).epsilon(1e-12));
  CHECK(model_flops_per_token(model, 8192) == Approx(57.9e9).epsilon(2e-3));  // torchtitan's figure
  const Architecture tied = gpt2();
  const double blocks = 12.0 * 12 * 768 * 768, tied_head = 50257.0 * 768;
  CHECK(model_flops_per_token(tied, 1024) == Approx(6 * (blocks + tied_head) + 12.0 * 12 * 768 * 1024));
}

TEST_CASE("Megatron's GPT block keeps 34h + 4a bytes a token, its Llama block 8h + 4q + 4kv + 6f + 4a + 8") {
  GraphOptions chosen = options();
  chosen.implementation = Implementation::megatron;
  // Korthikanti et al. 2022: 34h with flash attention, here with two statistics of each norm; 5as more without.
  const Dimensions gpt = gpt2().dims;
  CHECK(saved(gpt2(), chosen) == 34 * gpt.hidden + 4 * gpt.heads + 2 * 2 * 4);
  chosen.attention = AttentionKind::eager;
  CHECK(saved(gpt2(), chosen) == 34 * gpt.hidden + 5 * gpt.heads * chosen.seq_len + 2 * 2 * 4);
  chosen.attention = AttentionKind::flash;
  const Dimensions d = llama_3_8b().dims;
  CHECK(saved(llama_3_8b(), chosen) == 8 * d.hidden + 4 * d.q() + 4 * d.kv() + 6 * d.ffn + 4 * d.heads + 8);
}

TEST_CASE("the chunked loss holds 14 bytes a logit of one chunk, the fused one two") {
  const Architecture model = llama_3_8b();
  const Dimensions& d = model.dims;
  const auto most_logits = [&](LossKind loss) {
    GraphOptions chosen = options(8192, 1);
    chosen.loss = loss;
    const Graph graph = build_graph(model, chosen);
    std::int64_t live = 0, most = 0;
    for (const Step& step : graph.forward) {
      const auto count = [&](ValueId id, std::int64_t sign) {
        if (graph.value(id).is_logits) live += sign * graph.value(id).bytes;
        most = std::max(most, live);
      };
      if (step.kind == Step::Kind::drop) count(ValueId(step.index), -1);
      if (step.kind != Step::Kind::run) continue;
      for (const ValueId id : graph.operators[step.index].outputs) count(id, 1);
    }
    return most;
  };
  CHECK(most_logits(LossKind::chunked) == 14 * d.vocab * 8192 / 8);
  CHECK(most_logits(LossKind::fused) == 2 * d.vocab * 256);  // 32 chunks: 66 MB
  CHECK(most_logits(LossKind::eager) == 10 * d.vocab * 8192);
  CHECK(most_logits(LossKind::plain) == 2 * d.vocab * 8192);  // one sequence's shifted rows lie there already
}

TEST_CASE("both losses compute what the plain one does, all of it in forward") {
  const Architecture model = llama_3_8b();
  const double head = 6.0 * 8192 * static_cast<double>(model.dims.vocab * model.dims.hidden);
  for (const LossKind loss : {LossKind::chunked, LossKind::fused}) {
    GraphOptions chosen = options(8192, 1);
    chosen.loss = loss;
    const Graph graph = build_graph(model, chosen);
    double products = 0;
    std::int64_t held = 0;
    for (const Operator& op : graph.operators) {
      if (model.module(op.module).out_features != model.dims.vocab) continue;
      for (const Kernel& kernel : op.forward) products += kernel.flops;
      CHECK(op.backward.empty());
      for (const ValueId id : op.gradients) held += graph.value(id).bytes;
    }
    CHECK(products == Approx(head));
    CHECK(held == 2 * (8192 * model.dims.hidden + model.dims.vocab * model.dims.hidden));
  }
}

TEST_CASE("sequences that do not fit the model or the loss are refused") {
  const Architecture model = gpt2();
  GraphOptions chosen = options(1023);
  chosen.loss = LossKind::chunked;
  CHECK_THROWS_WITH(build_graph(model, chosen), Contains("8 equal chunks") && Contains("a multiple of 8"));
  chosen = options(4096);
  CHECK_THROWS_WITH(build_graph(model, chosen), Contains("position table") && Contains("at most 1024"));
  chosen = options(0);
  CHECK_THROWS_AS(build_graph(model, chosen), InputError);
}
