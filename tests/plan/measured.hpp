// Small models whose training was measured with the real frameworks, and the peaks that our plan of the same has.
//
// All expected bytes of tests/plan/*_measured_test.cpp were measured on 2026-11-21 with torch 2.13.0 and transformers
// 4.57.1 on a CPU: allocations and frees of the second step in the order of torch.profiler(profile_memory=True), 1
// sequence of 64 tokens unless said. FSDP ran over the "fake" process group. Left out of the real numbers is what only
// a CPU allocates: oneDNN's packing buffers, copies within _chunk_cat, random-generator states, scalars.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "catch.hpp"
#include "model/config_text.hpp"
#include "scenario.hpp"

namespace shardsim::test {

inline const std::string llama = R"({"model_type": "llama", "hidden_size": 256, "intermediate_size": 688,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": false,
    "vocab_size": 1000})";
inline const std::string llama_tied = R"({"model_type": "llama", "hidden_size": 256, "intermediate_size": 688,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": true,
    "vocab_size": 1000})";
inline const std::string llama_odd = R"({"model_type": "llama", "hidden_size": 256, "intermediate_size": 688,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": false,
    "vocab_size": 1003})";
inline const std::string gpt2 = R"({"model_type": "gpt2", "n_embd": 256, "n_layer": 4, "n_head": 4, "vocab_size": 1000,
    "n_positions": 128, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0})";

/// Bytes of device memory, without cuBLAS workspaces and the model's buffers.
struct Peaks {
  std::int64_t between_steps = 0, forward = 0, backward = 0, optimizer = 0;
};

struct MeasuredCase {
  std::string config;
  std::vector<std::string> words;  ///< as typed, without model and sequence length
  Peaks real;
  std::size_t rank = 0;
};

inline Planned plan_of(const MeasuredCase& measured) {
  const ConfigFolder folder;
  std::vector<std::string> words = measured.words;
  for (const std::string& word :
       {std::string("--model"), folder.write(measured.config).string(), std::string("--seq-len"), std::string("64")}) {
    words.push_back(word);
  }
  return plan(words, Folding::off);
}

inline Peaks peaks_of(const MeasuredCase& measured) {
  const Planned planned = plan_of(measured);
  Peaks peaks;
  std::int64_t before = 0;
  replay(planned.run.plan, planned.run.plan.programs.at(measured.rank), [&](const Live& live, const Mark& mark) {
    const std::int64_t bytes =
        live.total([](std::string_view label) { return label != "cublas workspace" && label != "model buffers"; });
    const std::int64_t highest = std::max(before, bytes);  // a phase also sees what it begins with
    before = bytes;
    if (mark.step == 0) return;
    if (mark.phase == Phase::forward) peaks.forward = std::max(peaks.forward, highest);
    if (mark.phase == Phase::backward) peaks.backward = std::max(peaks.backward, highest);
    if (mark.phase == Phase::optimizer) peaks.optimizer = std::max(peaks.optimizer, highest);
  });
  peaks.between_steps = before;
  return peaks;
}

/// What stays and what the optimizer reaches must be exact; forward and backward may miss a few index tensors (labels,
/// positions: 8 B a token) and the statistics of layer norms, which the CPU keeps in 16 bits, and `slack` bytes more in
/// backward.
inline void check_measured(const MeasuredCase& measured, std::int64_t slack = 0) {
  constexpr std::int64_t indices = 3 * 64 * 8;
  std::string words;
  for (const std::string& word : measured.words) words += word + " ";
  INFO(words << measured.config);
  const Peaks ours = peaks_of(measured);
  CHECK(ours.between_steps == measured.real.between_steps);
  CHECK(std::abs(ours.forward - measured.real.forward) <= indices);
  CHECK(std::abs(ours.backward - measured.real.backward) <= indices + slack);
  CHECK(ours.optimizer == measured.real.optimizer);
}

}  // namespace shardsim::test
