// A sweep of 2 000 small points, and what it comes to.
#pragma once

#include "catch.hpp"
#include "cli/program.hpp"

inline std::string write(const std::string& name, const std::string& text) {
  const std::string file = scratch().file(name);
  std::ofstream(file) << text;
  return file;
}

/// 2 000 points that take well under a millisecond each.
inline const std::string& spec() {
  static const std::string file = [] {
    const std::string model = write("tiny.json", R"({"model_type": "llama", "vocab_size": 512, "hidden_size": 64,
      "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
      "max_position_embeddings": 4096})");
    return write("sweep.yaml", "base: {model: " + model + R"(}
axes:
  topology: [2xA100, 4xA100]
  strategy: [ddp, zero1, zero2, zero3, fsdp]
  micro-batch: {from: 1, to: 10}
  seq-len: {from: 128, to: 1280, step: 128}
  checkpointing: [none, full]
)");
  }();
  return file;
}

inline std::string fresh(const std::string& name) {
  const std::string file = scratch().file(name);
  std::filesystem::remove_all(file);
  std::filesystem::remove_all(file + ".journal");
  return file;
}

inline const std::string& reference() {
  static const std::string text = [] {
    const std::string out = fresh("reference.jsonl");
    const Run result = run("sweep " + spec() + " -q --threads 1 -o " + out);
    REQUIRE(result.status == 0);
    return contents(out);
  }();
  return text;
}
