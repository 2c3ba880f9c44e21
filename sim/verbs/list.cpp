// The names that options take, one a line; with -v what each stands for.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/report/notation.hpp"
#include "sim/request/choices.hpp"
#include "sim/request/strategy_name.hpp"
#include "sim/simulate.hpp"
#include "sim/topology/named_machine.hpp"
#include "sim/topology/write_dot.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

using Names = std::vector<std::string>;

struct Kind {
  std::string_view name;
  std::string_view summary;
  Names (*names)(const DataFolders& data);
  std::string (*detail)(const std::string& name, const DataFolders& data) = nullptr;  ///< null: the name says it all
};

DeviceCatalog catalog(const DataFolders& data) { return DeviceCatalog(data.topologies / "devices"); }

std::string model_detail(const std::string& name, const DataFolders& data) {
  const Architecture model = load_architecture(name, data.zoo);
  return fmt::format("{:>9} parameters, {} layers", count_text(static_cast<double>(model.parameter_count())),
                     model.dims.layers);
}

std::string device_detail(const std::string& name, const DataFolders& data) {
  std::vector<std::string> assumptions;
  const GpuSpec gpu = catalog(data).gpu(name, "list", assumptions);
  return fmt::format("{:>6} GiB, {}, {:.0f} TFLOP/s in 16 bit", in_gib(gpu.memory.value()),
                     bandwidth_text(gpu.memory_bandwidth.bytes_per_second), gpu.matmul_16bit.flops_per_second / 1e12);
}

std::string system_detail(const std::string& name, const DataFolders& data) {
  const Topology system = load_topology(name, {}, data.topologies);
  const std::string device = system.devices.empty() ? "no device" : system.devices.front().spec.name;
  return fmt::format("{} x {}, {} node{}", system.devices.size(), device, system.hosts.size(),
                     system.hosts.size() == 1 ? "" : "s");
}

std::string optimizer_detail(const std::string& name, const DataFolders&) {
  return std::string(describe(choose(optimizer_choices, "optimizer", {name, "list"})));
}

constexpr std::array kinds = {
    Kind{"models", "what --model takes", [](const DataFolders& data) { return zoo_names(data.zoo); }, model_detail},
    Kind{"devices", "what --gpu and '4xDEVICE' take", [](const DataFolders& data) { return catalog(data).gpu_names(); },
         device_detail},
    Kind{"systems", "what --topology takes by name",
         [](const DataFolders& data) { return system_names(data.topologies); }, system_detail},
    Kind{"topologies", "the same; --dot NAME draws any topology",
         [](const DataFolders& data) { return system_names(data.topologies); }, system_detail},
    Kind{"strategies", "what --strategy takes", [](const DataFolders&) { return strategy_names(); },
         [](const std::string& name, const DataFolders&) { return describe_strategy(name); }},
    Kind{"optimizers", "what --optimizer takes", [](const DataFolders&) { return names_of(optimizer_choices); },
         optimizer_detail},
    Kind{"precisions", "what --precision takes", [](const DataFolders&) { return names_of(precision_choices); }},
    Kind{"attentions", "what --attention takes", [](const DataFolders&) { return names_of(attention_choices); }},
    Kind{"losses", "what --loss takes", [](const DataFolders&) { return names_of(loss_choices); }},
    Kind{"implementations", "what --implementation takes",
         [](const DataFolders&) { return names_of(implementation_choices); }},
    Kind{"adapters", "what --peft takes", [](const DataFolders&) { return names_of(peft_choices); }},
    Kind{"quantizations", "what --quantization takes",
         [](const DataFolders&) { return names_of(quantization_choices); }},
    Kind{"checkpointing", "what --checkpointing takes",
         [](const DataFolders&) {
           Names names = names_of(checkpointing_choices);
           names.emplace_back("every:K");
           return names;
         }},
    Kind{"allocators", "what --allocator takes", [](const DataFolders&) { return names_of(allocator_choices); }},
    Kind{"formats", "what --format takes", [](const DataFolders&) { return names_of(format_choices); }},
};

const Kind& find_kind(std::string_view name) {
  const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const Kind& k) { return k.name == name; });
  if (kind != kinds.end()) return *kind;
  Names names;
  for (const Kind& known : kinds) names.emplace_back(known.name);
  throw_unknown_name("list", name, "", names);
}

std::string kind_lines() {
  std::string text;
  for (const Kind& kind : kinds) text += fmt::format("  {:<16}{}\n", kind.name, kind.summary);
  return text;
}

std::string listing(const Kind& kind, const DataFolders& data, bool verbose) {
  const Names names = kind.names(data);
  std::size_t width = 0;
  for (const std::string& name : names) width = std::max(width, name.size());
  std::string text;
  for (const std::string& name : names) {
    const bool detailed = verbose && kind.detail != nullptr;
    text += detailed ? fmt::format("{:<{}}  {}\n", name, width, kind.detail(name, data)) : name + "\n";
  }
  return text;
}

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
  bool verbose = false;
  const Kind* kind = nullptr;
  Drawing drawing;
  const std::vector<std::string>& arguments = command.arguments;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "-v" || argument == "--verbose") {
      verbose = true;
    } else if (argument == "--dot" || argument == "--gpu") {
      if (i + 1 == arguments.size()) {
        throw InputError(argument + " lacks its value", "list", "shardsim list topologies --dot NAME [--gpu DEVICE]");
      }
      (argument == "--dot" ? drawing.topology : drawing.gpu) = arguments[++i];
    } else if (argument.starts_with('-') || kind != nullptr) {
      throw InputError("unexpected argument '" + argument + "'", "list", "shardsim list KIND [-v]");
    } else {
      kind = &find_kind(argument);
    }
  }
  if (kind == nullptr) throw InputError("list of what is missing", "", "shardsim list KIND (see shardsim list --help)");
  const DataFolders data = find_data(command.program);
  const bool draws = !drawing.topology.empty() || !drawing.gpu.empty();
  if (draws && (drawing.topology.empty() || (kind->name != "topologies" && kind->name != "systems"))) {
    throw InputError("--dot and --gpu draw a topology", "list", "shardsim list topologies --dot NAME [--gpu DEVICE]");
  }
  write_result(draws ? draw(drawing, data) : listing(*kind, data, verbose), "");
  return ExitStatus::fits;
}

std::string list_help() {
  return "Usage: shardsim list KIND [-v]\n"
         "       shardsim list topologies --dot TOPOLOGY [--gpu DEVICE]\n\n"
         "Prints names, one a line; with -v what each stands for. With --dot, one node of a topology (a name, 4xA100,\n"
         "@FILE) as a graph that Graphviz draws and --topology reads.\n\nKinds:\n" +
         kind_lines();
}

}  // namespace shardsim
