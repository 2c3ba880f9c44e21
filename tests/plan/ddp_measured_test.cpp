// DistributedDataParallel against the real one (gloo, one process; how: measured.hpp).
#include "measured.hpp"

using namespace shardsim;

namespace {

const std::vector<std::string> words{"--topology", "8xH100", "--strategy", "ddp", "--precision", "fp32"};

std::vector<std::string> accumulating() {
  std::vector<std::string> more = words;
  more.insert(more.end(), {"--grad-accum", "2"});
  return more;
}

}  // namespace

TEST_CASE("DDP's peaks: gradients beside their buckets") {
  // Buckets made by the constructor, 4 B a parameter, were not in the profile; they are added to the state between
  // steps.
  test::check_measured({test::llama, words, {40'971'264 + 13'657'088, 60'555'016, 68'352'000, 68'285'440}});
  test::check_measured({test::llama, accumulating(), {40'971'264 + 13'657'088, 74'212'104, 75'045'120, 68'285'440}});
}

TEST_CASE("DDP's buckets after the first iteration") {
  // 259 362 816 B of gradients: the first bucket closes at 1 MiB, the others at 25 MiB, none within a parameter.
  const std::string config = R"({"model_type": "llama", "hidden_size": 1024, "intermediate_size": 2752,
      "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": false,
      "vocab_size": 9000})";
  const auto planned = test::plan_of({config, words, {}});
  std::vector<std::int64_t> buckets;
  for (const Tensor& tensor : planned.run.plan.programs.front().tensors) {
    if (planned.run.plan.labels[tensor.label.index()] == "ddp bucket") buckets.push_back(tensor.bytes);
  }
  CHECK(buckets == std::vector<std::int64_t>{259'362'816, 36'864'000, 33'820'672, 35'135'488, 35'135'488, 26'742'784,
                                             30'937'088, 60'727'296});
}
