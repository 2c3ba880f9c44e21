// The names that options take, one a line; or a topology as a graph.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/request/option_text.hpp"
#include "sim/simulate.hpp"
#include "sim/topology/named_machine.hpp"
#include "sim/topology/write_dot.hpp"
#include "sim/verbs/names.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

const KindOfName& find_kind(std::string_view name) {
  const std::span<const KindOfName> kinds = kinds_of_names();
  const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const KindOfName& k) { return k.name == name; });
  if (kind != kinds.end()) return *kind;
  std::string names;
  for (const KindOfName& known : kinds) names += (names.empty() ? "" : ", ") + std::string(known.name);
  throw InputError("there is no list of '" + std::string(name) + "'", "", names);
}

std::string kind_lines() {
  std::string text;
  for (const KindOfName& kind : kinds_of_names()) {
    text += fmt::format("  {:<20}what --{} takes{}\n", kind.name, kind.option, kind.remark);
  }
  return text;
}

std::string listing(const KindOfName& kind, const DataFolders& data, bool verbose) {
  const std::vector<std::string> names = kind.names(data);
  std::size_t width = 0;
  for (const std::string& name : names) width = std::max(width, name.size());
  std::string text;
  for (const std::string& name : names) {
    const bool detailed = verbose && kind.detail != nullptr;
    text += detailed ? fmt::format("{:<{}}  {}\n", name, width, kind.detail(name, data)) : name + "\n";
  }
  return text;
}

constexpr std::array own_options = {
    OptionSpec{"Options", "verbose", 'v', "", "with each what it stands for"},
    OptionSpec{"Options", "dot", 0, "TOPOLOGY",
               "one node of a topology (a name, 4xA100, @FILE) as a graph that Graphviz draws and --topology reads"},
    OptionSpec{"Options", "gpu", 0, "DEVICE", "the device of such a topology"},
};

/// `list topologies --dot TOPOLOGY [--gpu DEVICE]`: one node of it for Graphviz.
struct Drawing {
  std::string topology, gpu;
};

std::string draw(const Drawing& drawing, const DataFolders& data) {
  const NamedMachine named = load_machine(drawing.topology, drawing.gpu, Catalogs(data.topologies));
  Machine machine = named.machine;
  for (std::size_t gpu : machine.of_kind(PartKind::gpu)) {
    if (named.gpu) machine.parts[gpu].device = named.gpu->name;
  }
  std::vector<std::string> remarks = {
      fmt::format("{}, as shardsim simulates it{}", named.machine.name,
                  named.nodes > 1 ? fmt::format(": {} of this node", named.nodes) : "")};
  for (const std::string& assumption : named.assumptions) remarks.push_back("assumed: " + assumption);
  return write_dot(machine, remarks);
}

}  // namespace

ExitStatus run_list(const Command& command) {
  const CommandLine line = read_command_line(command.arguments, own_options, 1);
  if (line.operands.empty()) {
    throw InputError("list of what is missing", "", "shardsim list KIND (see shardsim list --help)");
  }
  const KindOfName& kind = find_kind(line.operands.front());
  const auto text = [&](std::string_view option) {
    const auto found = line.options.find(option);
    return found == line.options.end() ? std::string() : found->second.value;
  };
  const Drawing drawing{text("dot"), text("gpu")};
  const DataFolders data = find_data(command.program);
  const bool draws = !drawing.topology.empty() || !drawing.gpu.empty();
  if (draws && (drawing.topology.empty() || kind.option != "topology")) {
    throw InputError("--dot and --gpu draw a topology", "list", "shardsim list topologies --dot NAME [--gpu DEVICE]");
  }
  write_result(draws ? draw(drawing, data) : listing(kind, data, line.options.contains("verbose")), "");
  return ExitStatus::fits;
}

std::vector<OptionSpec> list_options() { return {own_options.begin(), own_options.end()}; }

std::string list_help() {
  return "Usage: shardsim list KIND [-v]\n"
         "       shardsim list topologies --dot TOPOLOGY [--gpu DEVICE]\n\n"
         "Prints names, one a line. Kinds:\n" +
         kind_lines() + options_help(own_options);
}

}  // namespace shardsim
