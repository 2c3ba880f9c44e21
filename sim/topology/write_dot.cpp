#include "sim/topology/write_dot.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "model/core/parse_units.hpp"

namespace shardsim {

namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    c == '\n' ? result += "\\n" : result += c;
  }
  return result + '"';
}

/// Plain where DOT allows it.
std::string name(const std::string& id) {
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
  const bool keyword =
      id == "graph" || id == "node" || id == "edge" || id == "strict" || id == "digraph" || id == "subgraph";
  const bool simple = !id.empty() && std::isdigit(static_cast<unsigned char>(id.front())) == 0 &&
                      std::all_of(id.begin(), id.end(), plain);
  return simple && !keyword ? id : quoted(id);
}

std::string bytes(Bytes amount) {
  struct Unit {
    const char* name;
    std::int64_t size;
  };
  constexpr Unit units[] = {{"TiB", std::int64_t{1} << 40},
                            {"GiB", 1 << 30},
                            {"GB", 1'000'000'000},
                            {"MiB", 1 << 20},
                            {"kB", 1000},
                            {"B", 1}};
  for (const Unit& unit : units) {
    if (amount.value() % unit.size == 0) return fmt::format("{} {}", amount.value() / unit.size, unit.name);
  }
  return "";
}

/// The shortest text that reads back to the same rate.
std::string bandwidth(Bandwidth rate) {
  std::string text = fmt::format("{} GB/s", rate.bytes_per_second / 1e9);
  if (parse_bandwidth(text, "").bytes_per_second != rate.bytes_per_second) {
    text = fmt::format("{:f} B/s", rate.bytes_per_second);
  }
  return text;
}

std::string efficiency(std::optional<double> part) { return part ? fmt::format(", efficiency={}", *part) : ""; }

std::string microseconds(Time time) { return fmt::format("\"{} us\"", static_cast<double>(time.picoseconds()) / 1e6); }

/// What differs from the defaults.
std::string collectives(const CollectiveFigures& figures) {
  const CollectiveFigures usual;
  std::string text;
  const auto part = [&](const char* key, double value, double otherwise) {
    if (value != otherwise) text += fmt::format("  graph [{}={}];\n", key, value);
  };
  const auto time = [&](const char* key, Time value, Time otherwise) {
    if (value != otherwise) text += fmt::format("  graph [{}={}];\n", key, microseconds(value));
  };
  part("all_gather_efficiency", figures.all_gather, usual.all_gather);
  part("reduce_scatter_efficiency", figures.reduce_scatter, usual.reduce_scatter);
  part("all_reduce_efficiency", figures.all_reduce, usual.all_reduce);
  time("collective_launch", figures.launch, usual.launch);
  time("collective_fill", figures.fill, usual.fill);
  return text;
}

std::string node(const Part& part) {
  const std::string count = part.count > 1 ? fmt::format(", count={}", part.count) : "";
  const std::string times = part.count > 1 ? fmt::format("{} x ", part.count) : "";
  switch (part.kind) {
    case PartKind::gpu:
      return fmt::format("kind=gpu, device={}, fillcolor=palegreen, label={}", quoted(part.device),
                         quoted(part.id + "\n" + part.device));
    case PartKind::pcie_switch:
      return "kind=pcie_switch, fillcolor=lightgrey";
    case PartKind::numa:
      return fmt::format("kind=numa, cpu={}, dram=\"{}\", memory_bandwidth=\"{}\"{}, fillcolor=lightblue, label={}",
                         quoted(part.device), bytes(part.memory), bandwidth(part.memory_bandwidth),
                         part.cores > 0 ? fmt::format(", cores={}", part.cores) : "",
                         quoted(fmt::format("{}\n{}\n{}", part.id, part.device, bytes(part.memory))));
    case PartKind::nvswitch:
      return "kind=nvswitch, fillcolor=gold";
    case PartKind::nic:
      return fmt::format("kind=nic, device={}{}{}, fillcolor=mistyrose, label={}", quoted(part.device), count,
                         efficiency(part.efficiency), quoted(part.id + "\n" + times + part.device));
    case PartKind::drive:
      return fmt::format("kind=drive, device={}{}, fillcolor=wheat, label={}", quoted(part.device), count,
                         quoted(part.id + "\n" + times + part.device));
  }
  return "";
}

}  // namespace

std::string write_dot(const Machine& machine, const std::vector<std::string>& remarks) {
  std::string text;
  for (const std::string& remark : remarks) text += "// " + remark + "\n";
  text += fmt::format("graph {} {{\n", quoted(machine.name));
  if (machine.price_per_hour_usd > 0)
    text += fmt::format("  graph [price_per_hour=\"{} USD\"];\n", machine.price_per_hour_usd);
  if (machine.rack_units > 0) text += fmt::format("  graph [rack_height=\"{} U\"];\n", machine.rack_units);
  if (machine.host_power_watts > 0) text += fmt::format("  graph [host_power=\"{} W\"];\n", machine.host_power_watts);
  text += collectives(machine.collectives);
  text += "  node [shape=box, style=filled];\n";
  for (const Part& part : machine.parts) text += fmt::format("  {} [{}];\n", name(part.id), node(part));
  for (const Wire& wire : machine.wires) {
    const std::string latency = wire.latency ? ", latency=" + microseconds(*wire.latency) : "";
    text += fmt::format("  {} -- {} [link={}{}{}, label={}];\n", name(machine.parts[wire.a].id),
                        name(machine.parts[wire.b].id), quoted(wire.type.name), efficiency(wire.efficiency), latency,
                        quoted(wire.type.name));
  }
  return text + "}\n";
}

}  // namespace shardsim
