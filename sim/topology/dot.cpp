#include "sim/topology/dot.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "model/core/error.hpp"
#include "model/core/parse_units.hpp"
#include "model/core/suggest.hpp"
#include "sim/topology/dot_graph.hpp"

namespace shardsim {

namespace {

/// What Graphviz draws with; it says nothing about the machine.
const std::set<std::string> drawing = {"label",     "shape",   "color",  "fillcolor", "style",   "fontname", "fontsize",
                                       "fontcolor", "rankdir", "layout", "overlap",   "splines", "bgcolor",  "penwidth",
                                       "pos",       "width",   "height", "weight",    "ranksep", "nodesep",  "tooltip",
                                       "URL",       "xlabel",  "rank",   "labelloc",  "margin",  "group"};

/// The attributes of one node, edge or graph, each asked for by name; what nobody asks for is refused.
class Reader {
 public:
  Reader(const Attributes& attributes, std::string where) : attributes_(attributes), where_(std::move(where)) {}

  std::optional<std::string> optional(const std::string& key) {
    known_.push_back(key);
    const auto found = attributes_.find(key);
    if (found == attributes_.end()) return std::nullopt;
    return found->second;
  }
  std::string required(const std::string& key, const std::string& right) {
    const std::optional<std::string> value = optional(key);
    if (!value || value->empty()) throw InputError("the attribute '" + key + "' is missing", where_, right);
    return *value;
  }
  int count(const std::string& key, int otherwise, int most) {
    const std::optional<std::string> text = optional(key);
    if (!text) return otherwise;
    int value = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc{} || end != text->data() + text->size() || value < 1 || value > most) {
      throw InputError("'" + *text + "' is no usable " + key, where_,
                       "a whole number from 1 to " + std::to_string(most));
    }
    return value;
  }
  /// "32.77 USD", "500 W".
  double amount(const std::string& key, const std::string& unit) {
    const std::optional<std::string> text = optional(key);
    if (!text) return 0;
    double value = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    const std::string rest(end, text->data() + text->size());
    if (error != std::errc{} || rest != " " + unit || !(value >= 0 && value < 1e9)) {
      throw InputError("'" + *text + "' is no usable " + key, where_,
                       "a number and its unit, such as '100 " + unit + "'");
    }
    return value;
  }
  /// A part of what the datasheet says; `most` is above 1 where switches help.
  std::optional<double> part(const std::string& key, double most) {
    const std::optional<std::string> text = optional(key);
    if (!text) return std::nullopt;
    double value = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    constexpr double least = 0.001;
    if (error != std::errc{} || end != text->data() + text->size() || !(value >= least && value <= most)) {
      throw InputError("'" + *text + "' is no usable " + key, where_,
                       "a part from 0.001 to " + std::to_string(static_cast<int>(most)) + ", such as 0.8");
    }
    return value;
  }
  std::optional<Time> time(const std::string& key) {
    const std::optional<std::string> text = optional(key);
    if (!text) return std::nullopt;
    const Time value = parse_time(*text, where_ + ": " + key);
    if (value > Time(1'000'000'000'000)) throw InputError("'" + *text + "' is more than a second", where_, "2 us");
    return value;
  }
  void refuse_unread() {
    known_.push_back("source");
    for (const auto& [key, value] : attributes_) {
      if (drawing.contains(key) || std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
      throw_unknown_name("attribute", key, where_, known_);
    }
  }
  const std::string& where() const { return where_; }

 private:
  const Attributes& attributes_;
  std::string where_;
  std::vector<std::string> known_;
};

PartKind part_kind(Reader& reader) {
  static const std::vector<std::pair<std::string, PartKind>> kinds = {
      {"gpu", PartKind::gpu},   {"pcie_switch", PartKind::pcie_switch},
      {"numa", PartKind::numa}, {"nvswitch", PartKind::nvswitch},
      {"nic", PartKind::nic},   {"drive", PartKind::drive}};
  const std::string text = reader.required("kind", "kind=gpu, pcie_switch, numa, nvswitch, nic or drive");
  std::vector<std::string> known;
  for (const auto& [name, kind] : kinds) {
    if (name == text) return kind;
    known.push_back(name);
  }
  throw_unknown_name("kind of node", text, reader.where(), known);
}

std::string at(const std::string& file, int line, const std::string& what) {
  return line > 0 ? file + ":" + std::to_string(line) + ": " + what : file + ": " + what;
}

Part read_part(const DotNode& node, const std::string& file) {
  constexpr int most_parts = 64;
  constexpr int most_cores = 4096;
  Part part;
  part.id = node.id;
  part.where = at(file, node.line, node.id);
  if (node.id.find('>') != std::string::npos || node.id == "network") {
    throw InputError("the name '" + node.id + "' is taken", part.where, "another name, without '>'");
  }
  Reader reader(node.attributes, part.where);
  part.kind = part_kind(reader);
  if (part.kind == PartKind::gpu || part.kind == PartKind::nic || part.kind == PartKind::drive) {
    part.device = reader.required("device", "device=\"...\", a file of topologies/devices");
  }
  if (part.kind == PartKind::nic || part.kind == PartKind::drive) part.count = reader.count("count", 1, most_parts);
  if (part.kind == PartKind::nic) part.efficiency = reader.part("efficiency", 1);
  if (part.kind == PartKind::numa) {
    part.device = reader.required("cpu", "cpu=\"...\", a file of topologies/devices");
    part.cores = reader.count("cores", 0, most_cores);
    part.memory = parse_bytes(reader.required("dram", "dram=\"1 TiB\""), part.where + ": dram");
    const std::string bandwidth = reader.required("memory_bandwidth", "memory_bandwidth=\"204.8 GB/s\"");
    part.memory_bandwidth = parse_bandwidth(bandwidth, part.where + ": memory_bandwidth");
    if (part.memory.value() <= 0) throw InputError("the DRAM is empty", part.where, "more than 0 GiB");
    if (part.memory_bandwidth.bytes_per_second <= 0) {
      throw InputError("the memory bandwidth is zero", part.where, "more than 0 GB/s");
    }
  }
  reader.refuse_unread();
  return part;
}

/// What may hang on what: leaves on switches and NUMA nodes, GPUs also on each other and on NVSwitches.
bool may_join(PartKind a, PartKind b, LinkKind link) {
  const auto port = [](PartKind kind) { return kind == PartKind::pcie_switch || kind == PartKind::numa; };
  if (a > b) std::swap(a, b);
  if (a == PartKind::gpu && (b == PartKind::gpu || b == PartKind::nvswitch)) return link == LinkKind::nvlink;
  if (a == PartKind::gpu) return port(b) && link != LinkKind::interconnect;
  if (a == PartKind::numa && b == PartKind::numa) return link == LinkKind::interconnect;
  return port(a) && b != PartKind::nvswitch && link == LinkKind::pcie;
}

Wire read_wire(const DotEdge& edge, const Machine& machine, const std::string& file, const LinkCatalog& links) {
  const Part& a = machine.parts[edge.a];
  const Part& b = machine.parts[edge.b];
  Reader reader(edge.attributes, at(file, edge.line, a.id + " -- " + b.id));
  Wire wire{edge.a, edge.b,
            links.find(reader.required("link", "link=pcie4x16 or another type of links.yaml"), reader.where())};
  wire.efficiency = reader.part("efficiency", 1);
  wire.latency = reader.time("latency");
  reader.refuse_unread();
  if (edge.a == edge.b || !may_join(a.kind, b.kind, wire.type.kind)) {
    throw InputError(
        "a link of kind " + std::string(name_of(wire.type.kind)) + " cannot join these two", reader.where(),
        "pcie from GPUs, NICs, drives and switches to switches and NUMA nodes, nvlink between GPUs or to an "
        "nvswitch, an interconnect between NUMA nodes");
  }
  return wire;
}

CollectiveFigures read_collectives(Reader& reader) {
  constexpr double most = 8;  // a switch that reduces halves what each rank sends, and no listing shows more
  CollectiveFigures figures;
  figures.all_gather = reader.part("all_gather_efficiency", most).value_or(figures.all_gather);
  figures.reduce_scatter = reader.part("reduce_scatter_efficiency", most).value_or(figures.reduce_scatter);
  figures.all_reduce = reader.part("all_reduce_efficiency", most).value_or(figures.all_reduce);
  figures.launch = reader.time("collective_launch").value_or(figures.launch);
  figures.fill = reader.time("collective_fill").value_or(figures.fill);
  return figures;
}

}  // namespace

Machine read_dot(const std::filesystem::path& path, const LinkCatalog& links) {
  const std::string file = path.string();
  const DotGraph graph = read_dot_graph(path);
  Machine machine;
  machine.name = path.stem().string();
  machine.where = file;
  Reader reader(graph.attributes, file);
  machine.price_per_hour_usd = reader.amount("price_per_hour", "USD");
  machine.host_power_watts = reader.amount("host_power", "W");
  machine.rack_units = reader.amount("rack_height", "U");
  machine.price_source = reader.optional("price_source").value_or("");
  machine.collectives = read_collectives(reader);
  reader.refuse_unread();
  if (graph.nodes.size() > most_parts_of_machine) {
    throw InputError("the graph has more than " + std::to_string(most_parts_of_machine) + " nodes", file,
                     "one machine a file");
  }
  for (const DotNode& node : graph.nodes) machine.parts.push_back(read_part(node, file));
  for (const DotEdge& edge : graph.edges) machine.wires.push_back(read_wire(edge, machine, file, links));
  check_machine(machine);
  return machine;
}

}  // namespace shardsim
