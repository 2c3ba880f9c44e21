#include "sim/report/memory_snapshot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "sim/engine/device_events.hpp"
#include "sim/report/phases.hpp"
#include "sim/report/pickle.hpp"
#include "sim/report/tensor_name.hpp"

namespace shardsim {

namespace {

constexpr std::int64_t first_address = 0x7f0000000000;  // where CUDA's addresses begin on Linux

using Kind = DeviceEvent::Kind;

/// A segment, or a stretch of an expandable one that has memory, without gaps.
struct Segment {
  std::int64_t size = 0;
  const DeviceEvent* taken = nullptr;  ///< what began it
};

/// One program's device, from empty to the end of the run.
struct DeviceHistory {
  const Program* program = nullptr;
  std::vector<Time> instants;
  std::vector<std::uint32_t> marks;  ///< in force, by instruction
  std::vector<DeviceEvent> events;
  std::map<std::int64_t, Segment> segments;           ///< held at the end, by address
  std::map<std::int64_t, const DeviceEvent*> blocks;  ///< live at the end, by address

  std::int64_t device() const { return program->devices.front(); }
};

/// Expandable segments grow at their end, or fill their gaps.
void take(DeviceHistory& history, const DeviceEvent& event) {
  auto segment = history.segments.insert({event.address, {event.size, &event}}).first;
  if (!history.program->expandable_segments) return;
  const auto joins = [](auto left, auto right) {
    const DeviceEvent &a = *left->second.taken, &b = *right->second.taken;
    return left->first + left->second.size == right->first && a.stream == b.stream && a.large == b.large;
  };
  if (const auto next = std::next(segment); next != history.segments.end() && joins(segment, next)) {
    segment->second.size += next->second.size;
    history.segments.erase(next);
  }
  if (segment == history.segments.begin() || !joins(std::prev(segment), segment)) return;
  std::prev(segment)->second.size += segment->second.size;
  history.segments.erase(segment);
}

/// Fixed segments go back whole, expandable ones by pages.
void give_back(DeviceHistory& history, const DeviceEvent& event) {
  const auto segment = std::prev(history.segments.upper_bound(event.address));
  const std::int64_t end = segment->first + segment->second.size, returned = event.address + event.size;
  if (returned < end) history.segments[returned] = {end - returned, segment->second.taken};
  segment->second.size = event.address - segment->first;
  if (segment->second.size == 0) history.segments.erase(segment);
}

DeviceHistory history_of(const Program& program, const ProgramOutcome& outcome) {
  DeviceHistory history;
  history.program = &program;
  history.instants = outcome.instants;
  history.events = replay_device_events(program, outcome.spans, outcome.instants);
  std::uint32_t mark = 0;
  for (std::size_t i = 0; i < outcome.instants.size(); ++i) {
    if (program.instructions[i].kind == Instruction::Kind::mark) mark = program.instructions[i].index;
    history.marks.push_back(mark);
  }
  for (const DeviceEvent& event : history.events) {
    if (event.kind == Kind::take_segment) take(history, event);
    if (event.kind == Kind::return_segment) give_back(history, event);
    if (event.kind == Kind::allocate) history.blocks[event.address] = &event;
    if (event.kind == Kind::release) history.blocks.erase(event.address);
  }
  return history;
}

class SnapshotWriter {
 public:
  SnapshotWriter(const Plan& plan, std::vector<DeviceHistory> histories)
      : plan_(plan), histories_(std::move(histories)) {}

  std::string write() && {
    pickle_.dict([&] {
      pickle_.key("segments");
      write_segments();
      pickle_.key("device_traces");
      write_traces();
      pickle_.key("allocator_settings");
      write_settings();
      pickle_.key("external_annotations");
      pickle_.list(std::vector<int>{}, [](int) {});
    });
    return std::move(pickle_).finish();
  }

 private:
  void member(std::string_view name, std::int64_t value) {
    pickle_.key(name);
    pickle_.integer(value);
  }
  void member(std::string_view name, std::string_view value) {
    pickle_.key(name);
    pickle_.text(value);
  }
  void flag(std::string_view name, bool value) {
    pickle_.key(name);
    pickle_.boolean(value);
  }

  void write_frame(std::string_view name, std::string_view file, std::int64_t line) {
    pickle_.dict([&] {
      member("name", name);
      member("filename", file);
      member("line", line);
    });
  }

  /// The tensor first, then where the run stands, as the innermost call comes first.
  void write_frames(const DeviceHistory& history, const DeviceEvent& event) {
    pickle_.key("frames");
    pickle_.list(std::array{0, 1}, [&](int frame) {
      if (frame == 1) {
        const Mark* mark =
            history.program->marks.empty() ? nullptr : &history.program->marks[history.marks[event.instruction]];
        write_frame(mark == nullptr ? "run" : describe(plan_, *mark), "step", mark == nullptr ? 0 : mark->step);
      } else if (event.tensor.valid()) {
        const Tensor& tensor = history.program->tensors[event.tensor.index()];
        write_frame(tensor_name(plan_, tensor), name_of(tensor.category), std::max(tensor.layer, 0));
      } else {
        write_frame("segment of " + history.program->streams[event.stream.index()], "allocator", 0);
      }
    });
  }

  void write_segments() {
    std::vector<std::pair<const DeviceHistory*, std::int64_t>> segments;
    for (const DeviceHistory& history : histories_) {
      for (const auto& [address, segment] : history.segments) segments.emplace_back(&history, address);
    }
    pickle_.list(segments, [&](const auto& entry) { write_segment(*entry.first, entry.second); });
  }

  struct Block {
    std::int64_t address, size;
    const DeviceEvent* live;  ///< null: free
  };

  /// Live blocks and, between them, free ones, without gaps.
  static std::vector<Block> blocks_of(const DeviceHistory& history, std::int64_t address, std::int64_t size) {
    std::vector<Block> blocks;
    std::int64_t end = address;
    const auto fill = [&](std::int64_t until) {
      if (until > end) blocks.push_back({end, until - end, nullptr});
    };
    const auto last = history.blocks.lower_bound(address + size);
    for (auto block = history.blocks.lower_bound(address); block != last; ++block) {
      fill(block->first);
      blocks.push_back({block->first, block->second->size, block->second});
      end = block->first + block->second->size;
    }
    fill(address + size);
    return blocks;
  }

  std::int64_t requested(const DeviceHistory& history, const Block& block) const {
    return block.live == nullptr ? 0 : history.program->tensors[block.live->tensor.index()].bytes;
  }

  void write_segment(const DeviceHistory& history, std::int64_t address) {
    const Segment& segment = history.segments.at(address);
    const std::vector<Block> blocks = blocks_of(history, address, segment.size);
    std::int64_t allocated = 0, asked = 0;
    for (const Block& block : blocks) {
      if (block.live != nullptr) allocated += block.size;
      asked += requested(history, block);
    }
    pickle_.dict([&] {
      member("device", history.device());
      member("address", first_address + address);
      member("total_size", segment.size);
      member("allocated_size", allocated);
      member("active_size", allocated);
      member("requested_size", asked);
      member("stream", static_cast<std::int64_t>(segment.taken->stream.index()));
      member("segment_type", segment.taken->large ? "large" : "small");
      pickle_.key("segment_pool_id");
      pickle_.pair(0, 0);
      flag("is_expandable", history.program->expandable_segments);
      write_frames(history, *segment.taken);
      pickle_.key("blocks");
      pickle_.list(blocks, [&](const Block& block) { write_block(history, block); });
    });
  }

  void write_block(const DeviceHistory& history, const Block& block) {
    pickle_.dict([&] {
      member("address", first_address + block.address);
      member("size", block.size);
      member("requested_size", requested(history, block));
      member("state", block.live != nullptr ? "active_allocated" : "inactive");
      if (block.live != nullptr) {
        write_frames(history, *block.live);
        return;
      }
      pickle_.key("frames");
      pickle_.list(std::vector<int>{}, [](int) {});
    });
  }

  /// The outer list is by device number; what is no group's first device has an empty trace.
  void write_traces() {
    std::int64_t devices = 0;
    std::map<std::int64_t, const DeviceHistory*> by_device;
    for (const DeviceHistory& history : histories_) {
      by_device[history.device()] = &history;
      devices = std::max(devices, history.device() + 1);
    }
    std::vector<const DeviceHistory*> traces(static_cast<std::size_t>(devices), nullptr);
    for (const auto& [device, history] : by_device) traces[static_cast<std::size_t>(device)] = history;
    pickle_.list(traces, [&](const DeviceHistory* history) { write_trace(history); });
  }

  void write_trace(const DeviceHistory* history) {
    struct Entry {
      const DeviceEvent* event;
      std::string_view action;
    };
    std::vector<Entry> entries;
    if (history != nullptr) {
      for (const DeviceEvent& event : history->events) {
        switch (event.kind) {
          case Kind::allocate:
            entries.push_back({&event, "alloc"});
            break;
          case Kind::release:
            entries.push_back({&event, "free_requested"});
            entries.push_back({&event, "free_completed"});
            break;
          case Kind::take_segment:
            entries.push_back({&event, history->program->expandable_segments ? "segment_map" : "segment_alloc"});
            break;
          case Kind::return_segment:
            entries.push_back({&event, history->program->expandable_segments ? "segment_unmap" : "segment_free"});
            break;
        }
      }
    }
    pickle_.list(entries, [&](const Entry& entry) { write_entry(*history, *entry.event, entry.action); });
  }

  void write_entry(const DeviceHistory& history, const DeviceEvent& event, std::string_view action) {
    const Tensor* tensor = event.tensor.valid() ? &history.program->tensors[event.tensor.index()] : nullptr;
    constexpr std::int64_t picoseconds_a_microsecond = 1'000'000;
    pickle_.dict([&] {
      member("action", action);
      member("addr", first_address + event.address);
      member("size", tensor == nullptr ? event.size : tensor->bytes);
      member("stream", static_cast<std::int64_t>(event.stream.index()));
      member("time_us", history.instants[event.instruction].picoseconds() / picoseconds_a_microsecond);
      member("category", tensor == nullptr ? "unknown" : name_of(tensor->category));
      write_frames(history, event);
    });
  }

  /// The allocator that was simulated: PyTorch's defaults, but for expandable segments.
  void write_settings() {
    const bool expandable = histories_.front().program->expandable_segments;
    pickle_.dict([&] {
      member("PYTORCH_CUDA_ALLOC_CONF", expandable ? "expandable_segments:True" : "");
      member("max_split_size", -1);
      pickle_.key("garbage_collection_threshold");
      pickle_.real(0);
      flag("expandable_segments", expandable);
      flag("release_lock_on_cudamalloc", false);
      flag("pinned_use_cuda_host_register", false);
      pickle_.key("roundup_power2_divisions");
      pickle_.dict([&] { member("1", 0); });
    });
  }

  const Plan& plan_;
  std::vector<DeviceHistory> histories_;
  PickleWriter pickle_;
};

}  // namespace

std::string render_memory_snapshot(const Plan& plan, const Outcome& outcome) {
  std::vector<DeviceHistory> histories;
  for (std::size_t p = 0; p < plan.programs.size(); ++p) {
    histories.push_back(history_of(plan.programs[p], outcome.programs[p]));
  }
  return SnapshotWriter(plan, std::move(histories)).write();
}

}  // namespace shardsim
