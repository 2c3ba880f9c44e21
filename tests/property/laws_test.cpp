// Laws that hold for every strategy on every machine.
#include <algorithm>
#include <map>
#include <numeric>

#include "../plan/scenario.hpp"
#include "catch.hpp"
#include "sim/report/make_report.hpp"

using namespace shardsim;

namespace {

const std::vector<std::string> one_gpu{"single",        "zero1", "zero2",        "zero3",
                                       "zero3-offload", "fsdp",  "fsdp-offload", "device-map"};
const std::vector<std::string> several_gpus{"ddp",
                                            "zero1",
                                            "zero1-offload",
                                            "zero2",
                                            "zero2-offload",
                                            "zero3",
                                            "zero3-offload",
                                            "zero3-offload-optimizer",
                                            "zero3-offload-param",
                                            "zero3-nvme",
                                            "zero3-nvme-param",
                                            "fsdp",
                                            "fsdp-grad-op",
                                            "fsdp-offload",
                                            "fsdp-grad-op-offload",
                                            "hsdp",
                                            "hsdp-offload",
                                            "fsdp1",
                                            "fsdp1-grad-op",
                                            "fsdp1-hsdp",
                                            "fsdp1-offload",
                                            "fsdp1-grad-op-offload"};
const std::vector<std::string> machines{"1xRTX-4090", "4xA100",     "3xA100",       "dgx-a100", "8xH100",
                                        "dgx-2",      "8xRTX-4090", "p4d.24xlarge", "2x8xH100", "dgx-1v"};

bool is_single(const std::string& machine) { return machine.starts_with("1x"); }

std::vector<std::string> words(const std::string& machine, const std::string& strategy) {
  return {"--topology", machine, "--strategy", strategy, "--model", "gpt2", "--seq-len", "512"};
}

template <class Body>
void for_each_case(const Body& body) {
  for (const std::string& machine : machines) {
    for (const std::string& strategy : is_single(machine) ? one_gpu : several_gpus) {
      INFO(machine << " " << strategy);
      body(machine, strategy);
    }
  }
}

}  // namespace

TEST_CASE(
    "The categories at the peak sum to the peak, the five parts to the step, and the step is as long as its work") {
  for_each_case([](const std::string& machine, const std::string& strategy) {
    const auto planned = test::plan(words(machine, strategy));
    const Outcome outcome = run(planned.run.plan);
    REQUIRE(outcome.deadlock.empty());
    REQUIRE(outcome.step_time > Time{});
    for (std::size_t p = 0; p < planned.run.plan.programs.size(); ++p) {
      const Program& program = planned.run.plan.programs[p];
      const ProgramOutcome& seen = outcome.programs[p];
      CHECK(std::accumulate(seen.device.by_category.begin(), seen.device.by_category.end(), std::int64_t{0}) ==
            seen.device.allocated);
      CHECK(seen.device.reserved >= seen.device.allocated);
      const StepParts parts = split_step(program, seen, outcome.step_begin, outcome.step_time);
      CHECK(parts.compute + parts.communication + parts.transfer + parts.optimizer + parts.idle == outcome.step_time);
      // Every stream's kernels of the step fit between its first launch and its end.
      std::map<std::size_t, Time> busy;
      std::map<std::size_t, Time> first;
      for (std::size_t t = 0; t < program.tasks.size(); ++t) {
        const Task& task = program.tasks[t];
        if (task.step != 1) continue;
        busy[task.stream.index()] += task.duration;
        first.try_emplace(task.stream.index(), seen.spans[t].start);
      }
      for (const auto& [stream, time] : busy) CHECK(time <= seen.step_end[1] - first[stream]);
    }
    for (std::size_t l = 0; l < outcome.links.size(); ++l) {
      CHECK(outcome.links[l].bytes <=
            planned.run.plan.links[l].capacity * outcome.step_time.seconds() * (1 + 1e-9) + 1);
      CHECK(outcome.links[l].busy <= outcome.step_time);
    }
  });
}

TEST_CASE("A steady step frees what it allocates") {
  for_each_case([](const std::string& machine, const std::string& strategy) {
    const auto planned = test::plan(words(machine, strategy));
    for (const Program& program : planned.run.plan.programs) {
      std::map<std::uint16_t, std::int64_t> live_at_end;
      std::int64_t live = 0;
      std::uint16_t step = 0;
      for (const Instruction& instruction : program.instructions) {
        if (instruction.kind == Instruction::Kind::mark) step = program.marks[instruction.index].step;
        if (instruction.kind == Instruction::Kind::allocate) live += program.tensors[instruction.index].bytes;
        if (instruction.kind == Instruction::Kind::release) live -= program.tensors[instruction.index].bytes;
        REQUIRE(live >= 0);
        live_at_end[step] = live;
      }
      CHECK(live_at_end[0] == live_at_end[1]);
    }
  });
}

TEST_CASE("Folding equal devices changes nothing") {
  for_each_case([](const std::string& machine, const std::string& strategy) {
    const auto folded = test::plan(words(machine, strategy), Folding::on);
    const auto unfolded = test::plan(words(machine, strategy), Folding::off);
    const Outcome few = run(folded.run.plan);
    const Outcome all = run(unfolded.run.plan);
    CHECK(few.step_time.picoseconds() == all.step_time.picoseconds());
    for (std::size_t p = 0; p < folded.run.plan.programs.size(); ++p) {
      for (const std::uint32_t device : folded.run.plan.programs[p].devices) {
        const ProgramOutcome& alone = all.programs[device];
        CHECK(alone.device.allocated == few.programs[p].device.allocated);
        CHECK(alone.device.reserved == few.programs[p].device.reserved);
        CHECK(alone.device.by_category == few.programs[p].device.by_category);
      }
    }
    std::int64_t host_folded = 0, host_alone = 0;
    for (const HostOutcome& host : few.hosts) host_folded = std::max(host_folded, host.peak);
    for (const HostOutcome& host : all.hosts) host_alone = std::max(host_alone, host.peak);
    CHECK(host_folded == host_alone);
  });
}

TEST_CASE("The same request gives the same bytes of JSON") {
  for (const std::string strategy : {"zero3-offload", "zero2", "fsdp"}) {
    const Request request = test::request(words("4xA100", strategy));
    CHECK(render_json(simulate(request, test::data())) == render_json(simulate(request, test::data())));
  }
}

TEST_CASE("More ranks never raise the bytes that are sharded") {
  for (const std::string strategy : {"zero1", "zero2", "zero3", "fsdp", "fsdp1"}) {
    std::int64_t before = std::numeric_limits<std::int64_t>::max();
    for (const std::string machine : {"2xH100", "4xH100", "8xH100", "2x8xH100"}) {
      INFO(strategy << " " << machine);
      const auto planned =
          test::plan({"--topology", machine, "--strategy", strategy, "--model", "tinyllama-1.1b", "--seq-len", "256"});
      const Outcome outcome = run(planned.run.plan);
      const auto& categories = outcome.programs.front().device.by_category;
      const std::int64_t sharded = categories[static_cast<std::size_t>(Category::optimizer)];
      CHECK(sharded <= before);
      before = sharded;
    }
  }
}

TEST_CASE("Accumulation changes no state") {
  for (const std::string strategy : {"ddp", "zero1", "zero2", "zero3", "fsdp", "fsdp1", "zero3-offload"}) {
    INFO(strategy);
    auto once = words("4xA100", strategy);
    auto often = once;
    often.insert(often.end(), {"--grad-accum", "3"});
    const auto state = [](const std::vector<std::string>& typed) {
      const auto planned = test::plan(typed);
      std::int64_t bytes = 0;
      for (const Tensor& tensor : planned.run.plan.programs.front().tensors) {
        if (tensor.category == Category::optimizer || tensor.category == Category::master_weights ||
            tensor.category == Category::weights)
          bytes += tensor.bytes;
      }
      return bytes;
    };
    CHECK(state(once) == state(often));
    CHECK(simulate(test::request(often), test::data()).step.tokens ==
          3 * simulate(test::request(once), test::data()).step.tokens);
  }
}

TEST_CASE("Checkpointing trades memory for time") {
  for (const std::string strategy : {"zero3", "fsdp", "fsdp1", "ddp"}) {
    INFO(strategy);
    const std::vector<std::string> none{"--topology", "4xA100",         "--strategy", strategy,
                                        "--model",    "tinyllama-1.1b", "--seq-len",  "4096"};
    auto full = none;
    full.insert(full.end(), {"--checkpointing", "full"});
    const Report kept = simulate(test::request(none), test::data());
    const Report recomputed = simulate(test::request(full), test::data());
    CHECK(recomputed.devices.front().peak_allocated_bytes < kept.devices.front().peak_allocated_bytes);
    CHECK(recomputed.step.time_s > kept.step.time_s);
    CHECK(recomputed.step.mfu < recomputed.step.hfu);
  }
}
