// FSDP2 against torch.distributed.fsdp.fully_shard itself, wrapped as accelerate 1.15 wraps (how: measured.hpp).
#include "measured.hpp"

using namespace shardsim;

namespace {

std::vector<std::string> fsdp(const std::string& topology, const std::vector<std::string>& more = {}) {
  std::vector<std::string> words{"--topology", topology, "--strategy", "fsdp"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

const std::vector<std::string> fp32_reduce{"--reduce-dtype", "fp32"};

}  // namespace

TEST_CASE("fully_shard's peaks over 8 ranks") {
  test::check_measured({test::llama, fsdp("8xH100", fp32_reduce), {5'121'408, 11'700'608, 14'739'200, 6'828'544}});
  test::check_measured(
      {test::llama, fsdp("8xH100", {"--reduce-dtype", "bf16"}), {5'121'408, 11'700'608, 13'288'192, 6'828'544}});
  test::check_measured(
      {test::llama, fsdp("8xH100", {"--precision", "bf16"}), {2'560'704, 9'139'904, 10'482'048, 3'414'272}});
  test::check_measured(
      {test::llama, fsdp("8xH100", {"--precision", "fp32"}), {5'121'408, 17'814'912, 20'303'872, 6'828'544}});
}

TEST_CASE("fully_shard's peaks with recomputation, with accumulation and without resharding") {
  test::check_measured({test::llama,
                        fsdp("8xH100", {"--reduce-dtype", "fp32", "--checkpointing", "full"}),
                        {5'121'408, 9'623'424, 13'739'520, 6'828'544}});
  test::check_measured({test::llama,
                        fsdp("8xH100", {"--reduce-dtype", "fp32", "--grad-accum", "2"}),
                        {5'121'408, 13'407'744, 15'955'456, 6'828'544}});
  test::check_measured({test::llama,
                        {"--topology", "8xH100", "--strategy", "fsdp-grad-op", "--reduce-dtype", "fp32"},
                        {5'121'408, 16'853'888, 16'702'208, 6'828'544}});
  test::check_measured({test::gpt2,
                        {"--topology", "3xH100", "--strategy", "fsdp-grad-op", "--reduce-dtype", "fp32",
                         "--checkpointing", "full", "--grad-accum", "2"},
                        {13'716'240, 28'650'512, 29'250'292, 18'339'680},
                        2});
}

TEST_CASE("fully_shard's peaks where embeddings are tied, and where learned positions are left to the root") {
  test::check_measured({test::llama_tied, fsdp("8xH100", fp32_reduce), {4'737'408, 11'829'120, 15'252'096, 6'316'544}});
  test::check_measured({test::gpt2, fsdp("8xH100", fp32_reduce), {5'172'480, 13'346'560, 16'624'768, 6'896'640}});
}

TEST_CASE("fully_shard pads 1003 rows to 1008, and the last of 8 ranks owns 121 of its 126") {
  test::check_measured(
      {test::llama_odd, fsdp("8xH100", fp32_reduce), {5'107'072, 11'686'272, 14'725'888, 6'816'256}, 7});
}

TEST_CASE("fully_shard on one rank gathers nothing but still copies, casts and reduces") {
  test::check_measured({test::llama, fsdp("1xH100", fp32_reduce), {40'971'264, 45'460'992, 57'564'160, 54'628'352}});
  test::check_measured(
      {test::llama_tied, fsdp("1xH100", fp32_reduce), {37'899'264, 42'901'504, 54'459'392, 50'532'352}});
}

TEST_CASE("AdamW's temporaries over shards") {
  const auto with = [](const std::string& implementation) {
    return fsdp("8xH100", {"--reduce-dtype", "fp32", "--optimizer-impl", implementation});
  };
  test::check_measured({test::llama, with("foreach"), {5'121'408, 11'700'608, 14'739'200, 8'535'680}});
  test::check_measured({test::llama, with("for-loop"), {5'121'408, 11'700'608, 14'739'200, 7'092'736}});
}

TEST_CASE("the tied unit is prefetched from only once the loss has gone backward") {
  const auto planned = test::plan_of({test::llama_tied, fsdp("8xH100", fp32_reduce), {}});
  std::int64_t gathering_before_head = 0;
  test::replay(planned.run.plan, planned.run.plan.programs.front(), [&](const test::Live& live, const Mark& mark) {
    if (mark.phase != Phase::backward || planned.run.plan.labels[mark.label.index()] != "loss") return;
    const auto output = live.by_label.find("all-gather output");
    if (output != live.by_label.end()) gathering_before_head = std::max(gathering_before_head, output->second);
  });
  CHECK(gathering_before_head == 0);
}
