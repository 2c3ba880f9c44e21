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

struct Stage {
  std::string name;
  Time begin, end;
};

/// The stages of the run as the program's host thread goes through them.
std::vector<Stage> stages_of(const Plan& plan, const Program& program, const ProgramOutcome& outcome,
                             const std::vector<DevicePhase>& names) {
  std::vector<Stage> stages;
  for (const DevicePhase& phase : names) stages.push_back({phase.phase, never, Time{}});
  const Time end = *std::max_element(outcome.instants.begin(), outcome.instants.end());
  std::size_t stage = 0;
  for (std::size_t i = 0; i < outcome.instants.size(); ++i) {
    const Instruction instruction = program.instructions[i];
    if (instruction.kind == Instruction::Kind::mark) stage = stage_of(program.marks[instruction.index], plan.steps);
    if (stage < stages.size()) stages[stage].begin = std::min(stages[stage].begin, outcome.instants[i]);
  }
  std::erase_if(stages, [](const Stage& s) { return s.begin == never; });
  for (std::size_t s = 0; s < stages.size(); ++s) stages[s].end = s + 1 < stages.size() ? stages[s + 1].begin : end;
  return stages;
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

/// Where the host thread stands: forward, backward, a layer; each stretch under the name of its mark.
Json marks_json(const Plan& plan, const Program& program, const ProgramOutcome& outcome) {
  Json marks = Json::array();
  Json* last = nullptr;
  for (std::size_t i = 0; i < outcome.instants.size(); ++i) {
    if (last != nullptr) (*last)["end"] = seconds(outcome.instants[i]);
    if (program.instructions[i].kind != Instruction::Kind::mark) continue;
    const Mark& mark = program.marks[program.instructions[i].index];
    const std::string name = describe(plan, mark);
    if (last != nullptr && (*last)["name"] == name) continue;
    const double now = seconds(outcome.instants[i]);
    if (last != nullptr && (*last)["begin"] == now) marks.erase(marks.size() - 1);
    marks.push_back(
        {{"name", name}, {"phase", name_of_phase(mark.phase)}, {"layer", mark.layer}, {"begin", now}, {"end", now}});
    last = &marks.back();
  }
  return marks;
}

/// The largest live tensors at each drawn level, as pairs of a name's number and MiB.
void add_largest(Json& entry, const Plan& plan, const Program& program, const std::vector<DeviceEvent>& events,
                 const std::vector<std::size_t>& drawn) {
  std::set<std::pair<std::int64_t, std::size_t>> live;  // by size
  std::map<std::string, std::size_t> numbers;
  Json names = Json::array(), largest = Json::array();
  std::size_t i = 0;
  for (const std::size_t at : drawn) {
    for (; i <= at; ++i) {
      const std::pair<std::int64_t, std::size_t> tensor{events[i].size, events[i].tensor.index()};
      if (events[i].kind == DeviceEvent::Kind::allocate) live.insert(tensor);
      if (events[i].kind == DeviceEvent::Kind::release) live.erase(tensor);
    }
    Json here = Json::array();
    for (auto tensor = live.rbegin(); tensor != live.rend() && here.size() < 2 * tensors_a_sample; ++tensor) {
      const std::string name = tensor_name(plan, program.tensors[tensor->second]);
      const auto [number, is_new] = numbers.emplace(name, names.size());
      if (is_new) names.push_back(name);
      here.push_back(number->second);
      here.push_back(mebibytes(tensor->first));
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

Json device_json(const Topology& topology, const Plan& plan, const Program& program, const ProgramOutcome& outcome,
                 const Report& report) {
  const DeviceReport& said = report_of(topology, program, report);
  const std::vector<Stage> stages = stages_of(plan, program, outcome, said.phases);
  const std::vector<MemoryLevel> levels = device_levels(program, outcome);
  const std::vector<std::size_t> drawn = drawn_levels(levels, stages);
  Json entry = {
      {"id", group_name(topology, program)},
      {"kind", "device"},
      {"name", said.name},
      {"capacity_mib", mebibytes(said.capacity_bytes)},
      {"outside_mib", mebibytes(program.used_bytes(0))},
      {"peak",
       {{"t", seconds(outcome.device.instant)}, {"mib", mebibytes(said.peak_allocated_bytes)}, {"at", said.peak_at}}},
      {"stages", stages_json(stages)},
      {"marks", marks_json(plan, program, outcome)}};
  Json categories = series(levels, drawn, entry);
  entry["categories"] = std::move(categories);
  add_largest(entry, plan, program, replay_device_events(program, outcome.instants.size()), drawn);
  return entry;
}

Json host_json(const Plan& plan, const Outcome& outcome, std::size_t h, const Report& report) {
  const HostClass& host = plan.host_classes[h];
  std::size_t member = 0;
  while (plan.programs[member].host_class != h) ++member;
  std::vector<DevicePhase> names;
  for (const HostPhase& phase : report.hosts.front().phases) names.push_back({phase.phase, 0, 0, 0, ""});
  const std::vector<Stage> stages = stages_of(plan, plan.programs[member], outcome.programs[member], names);
  const std::vector<MemoryLevel> levels = host_levels(plan, outcome, h);
  const std::vector<std::size_t> drawn = drawn_levels(levels, stages);
  std::size_t highest = 0;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    if (levels[i].total() > levels[highest].total()) highest = i;
  }
  Json entry = {{"id", host.count > 1 ? host.id + " and " + std::to_string(host.count - 1) + " more" : host.id},
                {"kind", "host"},
                {"name", "host RAM"},
                {"capacity_mib", mebibytes(host.memory_bytes)},
                {"outside_mib", 0},
                {"peak",
                 {{"t", levels.empty() ? 0 : seconds(levels[highest].instant)},
                  {"mib", levels.empty() ? 0 : mebibytes(levels[highest].total())},
                  {"at", ""}}},
                {"stages", stages_json(stages)},
                {"marks", marks_json(plan, plan.programs[member], outcome.programs[member])}};
  Json categories = series(levels, drawn, entry);
  entry["categories"] = std::move(categories);
  return entry;
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
