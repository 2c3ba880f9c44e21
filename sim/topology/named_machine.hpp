// What --topology names, before it is routed: one node, and how many of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/topology/catalogs.hpp"
#include "sim/topology/machine.hpp"

namespace shardsim {

struct NamedMachine {
  Machine machine;
  std::size_t nodes = 1;
  std::optional<GpuSpec> gpu;  ///< stands in for the machine's own GPUs
  std::vector<std::string> assumptions;
};

/// "4xA100", "2xdgx-a100", a DOT file, "@FILE" or "3x@FILE". Throws InputError.
NamedMachine load_machine(std::string_view text, const std::string& gpu, const Catalogs& catalogs);

}  // namespace shardsim
