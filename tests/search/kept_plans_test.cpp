// What a sweep keeps from point to point changes no byte of any report.
#include <string>
#include <vector>

#include "../plan/measured.hpp"
#include "sim/engine/event_loop.hpp"
#include "sim/search/evaluate.hpp"

using namespace shardsim;

namespace {

/// Every point through one Simulator, and by itself.
struct Sweep {
  ConfigFolder folder;
  std::string config = folder.write(test::llama).string();
  std::shared_ptr<MemoryCache> memory = std::make_shared<MemoryCache>();
  Simulator simulator{memory};

  void check(std::vector<std::string> words, const std::vector<std::string>& machines) {
    words.insert(words.end(), {"--model", config});
    for (const std::string& machine : machines) {
      // 1000 and 77 are no multiples of anything that a kernel or table rounds to.
      for (const auto& [batch, seq] : {std::pair(1, 64), {3, 64}, {1, 1000}, {2, 77}, {8, 4096}, {3, 64}}) {
        INFO(machine << " " << words[1] << " " << batch << " x " << seq);
        std::vector<std::string> all = words;
        all.insert(all.end(),
                   {"--topology", machine, "--micro-batch", std::to_string(batch), "--seq-len", std::to_string(seq)});
        const Request request = test::request(all);
        const Scenario scenario = load_scenario(request, test::data());
        const Report kept = simulator.simulate(request, machine, scenario.topology, scenario.architecture);
        REQUIRE(render_json(kept) == render_json(simulate(request, scenario)));
      }
    }
  }
};

}  // namespace

TEST_CASE("every strategy, on machines that differ in speed alone and in more") {
  Sweep sweep;
  for (const char* strategy : {"ddp", "zero1", "zero2", "zero3", "fsdp", "fsdp1", "fsdp-grad-op", "zero1-offload",
                               "zero2-offload", "zero3-offload", "fsdp-offload", "zero3-nvme"}) {
    sweep.check({"--strategy", strategy}, {"4xA100", "4xH100", "dgx-a100-40gb"});
  }
  sweep.check({"--strategy", "hsdp"}, {"2x4xA100", "2x4xH100"});
  sweep.check({"--strategy", "device-map"}, {"2xA100", "4xRTX-4090"});
  sweep.check({"--strategy", "single"}, {"1xA100", "1xRTX-4090"});
}

TEST_CASE("whatever else decides the graph or the plan") {
  Sweep sweep;
  const std::vector<std::vector<std::string>> options{
      {"--checkpointing", "full"},
      {"--checkpointing", "selective"},
      {"--checkpointing", "every:2"},
      {"--loss", "plain"},
      {"--loss", "fused"},
      {"--attention", "eager"},
      {"--compile", "on"},
      {"--implementation", "megatron"},
      {"--implementation", "torchtitan"},
      {"--precision", "amp-bf16"},
      {"--precision", "fp8-mixed"},
      {"--grad-accum", "3"},
      {"--peft", "lora"},
      {"--peft", "qlora"},
      {"--peft", "prompt"},
      {"--optimizer", "paged-adamw"},
      {"--optimizer", "muon"},
      {"--save", "full"},
      {"--slow-gpu", "1:0.5"},
      {"--tokens", "1B"},
  };
  for (const std::vector<std::string>& option : options) {
    std::vector<std::string> words{"--strategy", "ddp"};
    words.insert(words.end(), option.begin(), option.end());
    INFO(option[0] << " " << option[1]);
    sweep.check(words, {"2xA100", "2xH100"});
  }
}

TEST_CASE("device memory that is short is another matter than device memory that is not") {
  // 7B under DDP presses on 80 GB and gives cached segments back where 192 GB would not.
  MemoryCache memory;
  const auto program = [&](const std::string& machine) {
    return test::plan({"--topology", machine, "--strategy", "zero2", "--model", "gpt2-xl", "--micro-batch", "8",
                       "--seq-len", "1024"},
                      Folding::on)
        .run.plan;
  };
  const Plan small = program("2xRTX-4090"), large = program("2xH100");
  for (const Plan* plan : {&small, &large, &small}) {
    const PreparedPlan prepared = prepare(*plan);
    const Timeline timeline = play(*plan);
    const auto kept = replay_devices(*plan, prepared.memory, prepared.forerunners, timeline, &memory);
    for (std::size_t p = 0; p < plan->programs.size(); ++p) {
      const Trace& trace = timeline.programs[p];
      const DeviceMemory fresh = replay_device_memory(plan->programs[p], prepared.memory[p].device,
                                                      {trace.spans, trace.instants}, plan->steps);
      INFO("program " << p);
      REQUIRE(kept[p]->stages.size() == fresh.stages.size());
      for (std::size_t stage = 0; stage < fresh.stages.size(); ++stage) {
        CHECK(kept[p]->stages[stage].allocated == fresh.stages[stage].allocated);
        CHECK(kept[p]->stages[stage].reserved == fresh.stages[stage].reserved);
        CHECK(kept[p]->stages[stage].line == fresh.stages[stage].line);
        CHECK(kept[p]->stages[stage].by_category == fresh.stages[stage].by_category);
        CHECK(kept[p]->stages[stage].largest == fresh.stages[stage].largest);
      }
      CHECK(kept[p]->final_bytes == fresh.final_bytes);
    }
  }
}

TEST_CASE("programs that begin alike are replayed together, and each as if it were alone") {
  for (const std::string strategy : {"zero1", "zero2", "zero2-offload", "fsdp", "fsdp-offload", "fsdp1"}) {
    for (const std::string allocator : {"caching", "expandable"}) {
      const Plan plan = test::plan({"--topology", "8xA100", "--strategy", strategy, "--model", "gpt2", "--allocator",
                                    allocator, "--seq-len", "512"},
                                   Folding::off)
                            .run.plan;
      const PreparedPlan prepared = prepare(plan);
      const Timeline timeline = play(plan);
      const auto together = replay_devices(plan, prepared.memory, prepared.forerunners, timeline, nullptr);
      for (std::size_t p = 0; p < plan.programs.size(); ++p) {
        const Trace& trace = timeline.programs[p];
        const DeviceMemory alone = replay_device_memory(plan.programs[p], prepared.memory[p].device,
                                                        {trace.spans, trace.instants}, plan.steps);
        INFO(strategy << ", " << allocator << ", program " << p);
        for (std::size_t stage = 0; stage < alone.stages.size(); ++stage) {
          CHECK(together[p]->stages[stage].allocated == alone.stages[stage].allocated);
          CHECK(together[p]->stages[stage].reserved == alone.stages[stage].reserved);
          CHECK(together[p]->stages[stage].by_category == alone.stages[stage].by_category);
          CHECK(together[p]->stages[stage].largest == alone.stages[stage].largest);
        }
        CHECK(together[p]->most_wanted == alone.most_wanted);
      }
    }
  }
}
