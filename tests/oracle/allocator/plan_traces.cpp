// Writes what our own plans allocate as traces for replay.cpp:
//   plan_traces > plans.in; ./replay < plans.in > ../data/allocator_plans.trace
#include <deque>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "sim/engine/event_loop.hpp"
#include "tests/plan/scenario.hpp"

using namespace shardsim;

namespace {

struct Case {
  std::string name;
  std::vector<std::string> words;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"gpt2-single", {"--model", "gpt2", "--topology", "1xRTX-4090", "--strategy", "single", "--seq-len", "1024"}},
      {"gpt2-single-amp-foreach",
       {"--model", "gpt2", "--topology", "1xRTX-4090", "--strategy", "single", "--seq-len", "512", "--precision",
        "amp-bf16", "--optimizer-impl", "foreach", "--micro-batch", "4"}},
      {"tinyllama-lora",
       {"--model", "tinyllama-1.1b", "--topology", "1xRTX-4090", "--strategy", "single", "--seq-len", "2048", "--peft",
        "lora", "--checkpointing", "full"}},
      {"gpt2-qlora-eager",
       {"--model", "gpt2", "--topology", "1xRTX-4090", "--strategy", "single", "--seq-len", "777", "--peft", "qlora",
        "--attention", "eager"}},
      {"gpt2-too-large",
       {"--model", "gpt2", "--topology", "1xRTX-4090", "--strategy", "single", "--seq-len", "1024", "--micro-batch",
        "20"}},
      {"gpt2-ddp", {"--model", "gpt2", "--topology", "4xA100", "--strategy", "ddp", "--seq-len", "512"}},
      {"gpt2-fsdp", {"--model", "gpt2", "--topology", "8xH100", "--strategy", "fsdp", "--seq-len", "1024"}},
      {"tinyllama-fsdp", {"--model", "tinyllama-1.1b", "--topology", "8xH100", "--strategy", "fsdp"}},
      {"gpt2-fsdp1", {"--model", "gpt2", "--topology", "4xA100", "--strategy", "fsdp1", "--seq-len", "1024"}},
      {"gpt2-zero2", {"--model", "gpt2", "--topology", "4xA100", "--strategy", "zero2", "--seq-len", "1024"}},
      {"gpt2-zero3", {"--model", "gpt2", "--topology", "4xA100", "--strategy", "zero3", "--seq-len", "1024"}},
      {"gpt2-zero3-offload-save",
       {"--model", "gpt2", "--topology", "2xRTX-4090", "--strategy", "zero3-offload", "--save", "gathered-16bit"}},
  };
  return all;
}

/// Events of record_stream, as their streams come to them.
class Outstanding {
 public:
  void add(StreamId stream, Time end) { ends_[stream.index()].push_back(end); }

  void write_completed(Time now) {
    for (auto& [stream, ends] : ends_) {
      const std::size_t before = done_[stream];
      while (!ends.empty() && ends.front() <= now) {
        ends.pop_front();
        ++done_[stream];
      }
      if (done_[stream] != before) std::cout << "e " << stream << ' ' << done_[stream] << '\n';
    }
  }

 private:
  std::map<std::size_t, std::deque<Time>> ends_;
  std::map<std::size_t, std::size_t> done_;
};

void write(const Program& program, const Trace& trace) {
  Outstanding outstanding;
  std::vector<Time> busy_until(program.streams.size());
  std::map<std::uint32_t, std::size_t> number;  // by tensor
  for (std::size_t i = 0; i < trace.instants.size(); ++i) {
    const Instruction instruction = program.instructions[i];
    if (instruction.kind == Instruction::Kind::launch) {
      busy_until[program.tasks[instruction.index].stream.index()] = trace.spans[instruction.index].end;
    }
    if (instruction.kind == Instruction::Kind::empty_cache) std::cout << "c\n";
    const bool allocates = instruction.kind == Instruction::Kind::allocate;
    if (!allocates && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    if (tensor.pool != Pool::device || tensor.bytes == 0) continue;
    if (allocates) {
      outstanding.write_completed(trace.instants[i]);
      number.emplace(instruction.index, number.size());
      std::cout << "+ " << tensor.stream.index() << ' ' << tensor.bytes << '\n';
      continue;
    }
    if (tensor.used_on.valid() && tensor.used_on != tensor.stream) {
      std::cout << "r " << number.at(instruction.index) << ' ' << tensor.used_on.index() << '\n';
      outstanding.add(tensor.used_on, busy_until[tensor.used_on.index()]);
    }
    std::cout << "- " << number.at(instruction.index) << '\n';
  }
}

}  // namespace

int main() {
  for (const Case& each : cases()) {
    const Plan plan = test::plan(each.words).run.plan;
    const Timeline timeline = play(plan);
    const Program& program = plan.programs.front();
    for (const char* allocator : {"caching", "expandable"}) {
      std::cout << "trace " << each.name << ' ' << allocator << ' ' << program.capacity_bytes << ' '
                << program.capacity_bytes - program.outside_bytes << '\n';
      write(program, timeline.programs.front());
    }
  }
}
