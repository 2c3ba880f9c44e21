#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "sim/report/group_name.hpp"
#include "sim/report/html/data.hpp"
#include "sim/report/memory_series.hpp"
#include "sim/report/phases.hpp"
#include "sim/report/tensor_name.hpp"

namespace shardsim::html {

namespace {

constexpr std::size_t intervals_a_stage = 240;
constexpr std::size_t tensors_a_sample = 4;
constexpr std::size_t most_groups = 16;

/// MiB suffice for a drawing; a tenth of one keeps it short.
double mebibytes(std::int64_t bytes) { return std::round(static_cast<double>(bytes) / (1 << 20) * 10) / 10; }
double seconds(Time time) { return std::round(time.seconds() * 1e7) / 1e7; }

/// A program's instructions on the GPU's clock.
struct Clocked {
  const Program& program;
  std::vector<Time> instants;  ///< by instruction
};

/// When the compute stream is through with what was launched before an instruction, or the host thread reaches it if
/// that is later: the host thread runs ahead, and what it allocates is used when the stream gets there.
Clocked clocked(const Program& program, const ProgramOutcome& outcome) {
  Clocked made{program, outcome.instants};
  Time done;
  for (std::size_t i = 0; i < made.instants.size(); ++i) {
    made.instants[i] = std::max(made.instants[i], done);
    const Instruction instruction = program.instructions[i];
    if (instruction.kind != Instruction::Kind::launch) continue;
    if (program.tasks[instruction.index].stream.index() == 0) done = outcome.spans[instruction.index].end;
  }
  return made;
}

/// Of several programs that share a host the order of the host threads is kept.
void move_to_clock(std::vector<MemoryLevel>& levels, const std::vector<Clocked>& programs) {
  Time last;
  for (MemoryLevel& level : levels) {
    level.instant = last = std::max(last, programs[level.program].instants[level.instruction]);
  }
}

struct Stage {
  std::string name;
  Time begin, end;
};

/// The stages of the run as the program goes through them.
std::vector<Stage> stages_of(const Plan& plan, const Clocked& run, const std::vector<std::string>& names) {
  std::vector<Stage> stages;
  for (const std::string& name : names) stages.push_back({name, never, Time{}});
  std::size_t stage = 0;
  for (std::size_t i = 0; i < run.instants.size(); ++i) {
    const Instruction instruction = run.program.instructions[i];
    if (instruction.kind == Instruction::Kind::mark) stage = stage_of(run.program.marks[instruction.index], plan.steps);
    if (stage < stages.size()) stages[stage].begin = std::min(stages[stage].begin, run.instants[i]);
  }
  std::erase_if(stages, [](const Stage& s) { return s.begin == never; });
  for (std::size_t s = 0; s < stages.size(); ++s) {
    stages[s].end = s + 1 < stages.size() ? stages[s + 1].begin : run.instants.back();
  }
  return stages;
}

template <class Phases>
std::vector<std::string> names_of(const Phases& phases) {
  std::vector<std::string> names;
  for (const auto& phase : phases) names.push_back(phase.phase);
  return names;
}

/// Which levels to draw: in each interval of a stage the highest and the last. Ascending.
std::vector<std::size_t> drawn_levels(const std::vector<MemoryLevel>& levels, const std::vector<Stage>& stages) {
  std::vector<std::size_t> drawn;
  std::size_t i = 0;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const std::int64_t begin = stages[s].begin.picoseconds();
    const std::int64_t length = std::max<std::int64_t>(stages[s].end.picoseconds() - begin, 1);
    const bool is_last_stage = s + 1 == stages.size();
    for (std::size_t k = 0; k < intervals_a_stage; ++k) {
      const bool takes_rest = is_last_stage && k + 1 == intervals_a_stage;
      const double part = static_cast<double>(k + 1) / static_cast<double>(intervals_a_stage);
      const Time until(begin + static_cast<std::int64_t>(std::ceil(static_cast<double>(length) * part)));
      std::size_t highest = i;
      const std::size_t first = i;
      for (; i < levels.size() && (levels[i].instant < until || takes_rest); ++i) {
        if (levels[i].total() > levels[highest].total()) highest = i;
      }
      if (i == first) continue;
      drawn.push_back(highest);
      if (highest != i - 1) drawn.push_back(i - 1);
    }
  }
  return drawn;
}

Json series(const std::vector<MemoryLevel>& levels, const std::vector<std::size_t>& drawn, Json& entry) {
  Json times = Json::array(), reserved = Json::array(), categories = Json::array();
  for (const std::size_t i : drawn) {
    times.push_back(seconds(levels[i].instant));
    reserved.push_back(mebibytes(levels[i].reserved));
  }
  for (std::size_t c = 0; c < category_count; ++c) {
    Json values = Json::array();
    bool occurs = false;
    for (const std::size_t i : drawn) {
      occurs = occurs || levels[i].by_category[c] != 0;
      values.push_back(mebibytes(levels[i].by_category[c]));
    }
    if (occurs) categories.push_back({{"name", name_of(static_cast<Category>(c))}, {"mib", values}});
  }
  entry["t"] = times;
  entry["reserved_mib"] = reserved;
  return categories;
}

Json stages_json(const std::vector<Stage>& stages) {
  Json json = Json::array();
  for (const Stage& stage : stages) {
    json.push_back({{"name", stage.name}, {"begin", seconds(stage.begin)}, {"end", seconds(stage.end)}});
  }
  return json;
}

/// Forward, backward, a layer: each stretch under the name of its mark.
Json marks_json(const Plan& plan, const Clocked& run) {
  Json marks = Json::array();
  for (std::size_t i = 0; i < run.instants.size(); ++i) {
    const double now = seconds(run.instants[i]);
    if (!marks.empty()) marks.back()["end"] = now;
    if (run.program.instructions[i].kind != Instruction::Kind::mark) continue;
    const Mark& mark = run.program.marks[run.program.instructions[i].index];
    const std::string name = describe(plan, mark);
    if (!marks.empty() && marks.back()["name"] == name) continue;
    if (!marks.empty() && marks.back()["begin"] == now) marks.erase(marks.size() - 1);
    marks.push_back(
        {{"name", name}, {"phase", name_of(mark.phase)}, {"layer", mark.layer}, {"begin", now}, {"end", now}});
  }
  return marks;
}

/// Which tensors of some memories of a program are live, as its instructions go by.
class LiveTensors {
 public:
  LiveTensors(const Program& program, bool on_device) : program_(program), on_device_(on_device) {}

  void go_to(std::size_t instruction) {
    for (; next_ <= instruction; ++next_) {
      const Instruction& now = program_.instructions[next_];
      const bool allocates = now.kind == Instruction::Kind::allocate;
      if (!allocates && now.kind != Instruction::Kind::release) continue;
      const Tensor& tensor = program_.tensors[now.index];
      if (tensor.pool == Pool::storage || (tensor.pool == Pool::device) != on_device_) continue;
      if (allocates) {
        by_size_.insert({tensor.bytes, now.index});
      } else {
        by_size_.erase({tensor.bytes, now.index});
      }
    }
  }
  std::vector<const Tensor*> largest(std::size_t count) const {
    std::vector<const Tensor*> tensors;
    for (auto entry = by_size_.rbegin(); entry != by_size_.rend() && tensors.size() < count; ++entry) {
      tensors.push_back(&program_.tensors[entry->second]);
    }
    return tensors;
  }

 private:
  const Program& program_;
  bool on_device_;
  std::size_t next_ = 0;
  std::set<std::pair<std::int64_t, std::uint32_t>> by_size_;
};

/// The largest live tensors of a rank at each drawn level, as pairs of a name's number and MiB.
void add_largest(Json& entry, const Plan& plan, const std::vector<MemoryLevel>& levels,
                 const std::vector<std::size_t>& drawn, std::vector<LiveTensors> live) {
  std::map<std::string, std::size_t> numbers;
  Json names = Json::array(), largest = Json::array();
  for (const std::size_t at : drawn) {
    LiveTensors& of_program = live[levels[at].program];
    of_program.go_to(levels[at].instruction);
    Json here = Json::array();
    for (const Tensor* tensor : of_program.largest(tensors_a_sample)) {
      const auto [number, is_new] = numbers.emplace(tensor_name(plan, *tensor), names.size());
      if (is_new) names.push_back(number->first);
      here.push_back(number->second);
      here.push_back(mebibytes(tensor->bytes));
    }
    largest.push_back(here);
  }
  entry["tensor_names"] = names;
  entry["largest"] = largest;
}

const DeviceReport& report_of(const Topology& topology, const Program& program, const Report& report) {
  const std::string first = topology.name_of(DeviceId(program.devices.front()));
  for (const DeviceReport& device : report.devices) {
    if (device.id == first || device.id.starts_with(first + "-")) return device;
  }
  return report.devices.front();
}

/// What all memories have; `levels` are on the GPU's clock.
Json memory_json(const Plan& plan, const Clocked& run, const std::vector<std::string>& stage_names,
                 const std::vector<MemoryLevel>& levels, std::vector<LiveTensors> live, Json entry) {
  const std::vector<Stage> stages = stages_of(plan, run, stage_names);
  const std::vector<std::size_t> drawn = drawn_levels(levels, stages);
  const auto highest = std::max_element(
      levels.begin(), levels.end(), [](const MemoryLevel& a, const MemoryLevel& b) { return a.total() < b.total(); });
  const bool empty = highest == levels.end();
  entry["peak"]["t"] = empty ? 0 : seconds(highest->instant);
  entry["peak"]["mib"] = empty ? 0 : mebibytes(highest->total());
  entry["stages"] = stages_json(stages);
  entry["marks"] = marks_json(plan, run);
  Json categories = series(levels, drawn, entry);
  entry["categories"] = std::move(categories);
  add_largest(entry, plan, levels, drawn, std::move(live));
  return entry;
}

Json device_json(const Topology& topology, const Plan& plan, const Program& program, const ProgramOutcome& outcome,
                 const Report& report) {
  const DeviceReport& said = report_of(topology, program, report);
  const Clocked run = clocked(program, outcome);
  std::vector<MemoryLevel> levels = device_levels(program, outcome);
  move_to_clock(levels, {run});
  return memory_json(plan, run, names_of(said.phases), levels, {LiveTensors(program, true)},
                     {{"id", group_name(topology, program)},
                      {"kind", "device"},
                      {"name", said.name},
                      {"capacity_mib", mebibytes(said.capacity_bytes)},
                      {"outside_mib", mebibytes(program.used_bytes(0))},
                      {"peak", {{"at", said.peak_at}}}});
}

Json host_json(const Plan& plan, const Outcome& outcome, std::size_t h, const Report& report) {
  const HostClass& host = plan.host_classes[h];
  std::vector<Clocked> runs;
  std::vector<LiveTensors> live;
  std::size_t member = plan.programs.size();
  for (std::size_t p = 0; p < plan.programs.size(); ++p) {
    runs.push_back(clocked(plan.programs[p], outcome.programs[p]));
    live.emplace_back(plan.programs[p], false);
    if (plan.programs[p].host_class == h) member = std::min(member, p);
  }
  std::vector<MemoryLevel> levels = host_levels(plan, outcome, h);
  move_to_clock(levels, runs);
  return memory_json(plan, runs[member], names_of(report.hosts.front().phases), levels, std::move(live),
                     {{"id", host.count > 1 ? host.id + " and " + std::to_string(host.count - 1) + " more" : host.id},
                      {"kind", "host"},
                      {"name", "host RAM"},
                      {"capacity_mib", mebibytes(host.memory_bytes)},
                      {"outside_mib", 0},
                      {"peak", {{"at", ""}}}});
}

}  // namespace

Json memory_data(const Topology& topology, const Plan& plan, const Outcome& outcome, const Report& report) {
  Json memories = Json::array();
  for (std::size_t p = 0; p < plan.programs.size() && p < most_groups; ++p) {
    memories.push_back(device_json(topology, plan, plan.programs[p], outcome.programs[p], report));
  }
  for (std::size_t h = 0; h < plan.host_classes.size() && h < most_groups; ++h) {
    memories.push_back(host_json(plan, outcome, h, report));
  }
  return memories;
}

}  // namespace shardsim::html
