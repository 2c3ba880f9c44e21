#include "sim/engine/memory_script.hpp"

#include <algorithm>

#include "sim/engine/mixer.hpp"

namespace shardsim {

namespace {

bool is_memory(const Instruction& instruction) {
  return instruction.kind == Instruction::Kind::allocate || instruction.kind == Instruction::Kind::release;
}

class ScriptWriter {
 public:
  ScriptWriter(const Program& program, std::uint16_t steps)
      : program_(program), steps_(steps), live_(program.tensors.size()), last_(program.streams.size()) {}

  MemoryScript write() {
    stage_ = static_cast<std::uint32_t>(stage_of(Mark{}, steps_));
    for (now_ = 0; now_ < program_.instructions.size(); ++now_) play(program_.instructions[now_]);
    script_.device.hash = mixer_.low();
    return std::move(script_);
  }

 private:
  void play(const Instruction& instruction) {
    using Kind = Instruction::Kind;
    if (instruction.kind == Kind::launch) {
      last_[program_.tasks[instruction.index].stream.index()] = TaskId(instruction.index);
    } else if (instruction.kind == Kind::empty_cache) {
      add(DeviceScript::Kind::empty_cache, 0);
    } else if (instruction.kind == Kind::mark) {
      stage_ = static_cast<std::uint32_t>(stage_of(program_.marks[instruction.index], steps_));
      script_.marks.push_back({now_, instruction.index});
      add(DeviceScript::Kind::stage, stage_);
    } else if (is_memory(instruction)) {
      const Tensor& tensor = program_.tensors[instruction.index];
      if (tensor.pool != Pool::device) {
        script_.host.push_back({now_, stage_});
      } else if (instruction.kind == Kind::allocate) {
        allocate(TensorId(instruction.index), tensor);
      } else {
        release(instruction.index, tensor);
      }
    }
  }

  void allocate(TensorId id, const Tensor& tensor) {
    DeviceScript& device = script_.device;
    const auto line = static_cast<std::uint32_t>(device.lines.size());
    live_[id.index()] = static_cast<std::uint32_t>(device.allocations.size());
    device.allocations.push_back({id, tensor.stream, tensor.category, line});
    mixer_.add(tensor.stream.index() << 8 | static_cast<std::uint64_t>(tensor.category));
    add(DeviceScript::Kind::allocate, live_[id.index()]);
  }

  void release(std::uint32_t tensor, const Tensor& released) {
    add(DeviceScript::Kind::release, live_[tensor]);
    if (!released.used_on.valid() || released.used_on == released.stream) return;
    script_.device.waits_for_streams = true;
    script_.device.lines.back().until = last_[released.used_on.index()];
  }

  void add(DeviceScript::Kind kind, std::uint32_t subject) {
    script_.device.lines.push_back({kind, subject, now_, {}});
    mixer_.add(static_cast<std::uint64_t>(kind) << 32 | subject);
  }

  const Program& program_;
  std::uint16_t steps_;
  MemoryScript script_;
  Mixer mixer_;
  std::uint32_t now_ = 0;  ///< instruction
  std::uint32_t stage_ = 0;
  std::vector<std::uint32_t> live_;  ///< by tensor: its allocation
  std::vector<TaskId> last_;         ///< by stream: what is queued last
};

}  // namespace

std::size_t DeviceScript::reached(std::size_t instructions) const {
  const auto end = std::partition_point(lines.begin(), lines.end(),
                                        [&](const Line& line) { return line.instruction < instructions; });
  return static_cast<std::size_t>(end - lines.begin());
}

std::uint32_t MemoryScript::mark_at(std::size_t instruction) const {
  const auto after = std::partition_point(marks.begin(), marks.end(),
                                          [&](const MarkLine& line) { return line.instruction <= instruction; });
  return after == marks.begin() ? 0 : (after - 1)->mark;
}

MemoryScript memory_script(const Program& program, std::uint16_t steps) { return ScriptWriter(program, steps).write(); }

std::size_t common_lines(const DeviceScript& one, const DeviceScript& other) {
  const std::size_t most = std::min(one.lines.size(), other.lines.size());
  for (std::size_t i = 0; i < most; ++i) {
    const DeviceScript::Line &a = one.lines[i], &b = other.lines[i];
    if (a.kind != b.kind || a.subject != b.subject) return i;
    if (a.kind == DeviceScript::Kind::allocate &&
        one.allocations[a.subject].stream != other.allocations[b.subject].stream) {
      return i;
    }
  }
  return most;
}

}  // namespace shardsim
